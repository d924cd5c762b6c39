"""Five steps that do nothing, on DBOS. Arguments: database URL, workflows, "threads" or "async". Prints workflows/s, from the
first start to the last result."""

import asyncio
import logging
import sys
import time

from dbos import DBOS

url, count, how = sys.argv[1], int(sys.argv[2]), sys.argv[3]
DBOS(config={"name": "bench", "system_database_url": url, "sys_db_pool_size": 20, "log_level": "ERROR", "run_admin_server": False})


@DBOS.step()
def nothing(number):
    return number


@DBOS.workflow()
def five(number):
    for step in range(5):
        nothing(step)
    return number


@DBOS.step()
async def nothing_async(number):
    return number


@DBOS.workflow()
async def five_async(number):
    for step in range(5):
        await nothing_async(step)
    return number


def threads(count):
    handles = [DBOS.start_workflow(five, number) for number in range(count)]
    for handle in handles:
        handle.get_result()


async def tasks(count):
    gate = asyncio.Semaphore(100)

    async def one(number):
        async with gate:
            await five_async(number)

    await asyncio.gather(*(one(number) for number in range(count)))


logging.disable(logging.WARNING)
DBOS.launch()


def measured(count):
    started = time.monotonic()
    asyncio.run(tasks(count)) if how == "async" else threads(count)
    return count / (time.monotonic() - started)


threads(20) if how == "threads" else asyncio.run(tasks(20))
print(measured(count), flush=True)
DBOS.destroy()
