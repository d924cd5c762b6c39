"""The bulk worker that one writes in an afternoon, with imaplib and boto3: fetch in bulk, put the raw message and each
part one after the other, flag all at the end. Arguments: port, user, password, S3 endpoint, bucket."""

import email
import email.policy
import imaplib
import sys

import boto3

BULK = 50

port, user, password, endpoint, bucket = sys.argv[1:]
s3 = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
imap = imaplib.IMAP4("127.0.0.1", int(port))
imap.login(user, password)
imap.select("INBOX")
uids = imap.uid("search", "UNSEEN")[1][0].split()
for start in range(0, len(uids), BULK):
    bulk = uids[start : start + BULK]
    answers = imap.uid("fetch", b",".join(bulk), "(UID BODY.PEEK[])")[1]
    raws = [answer[1] for answer in answers if isinstance(answer, tuple)]
    for uid, raw in zip(bulk, raws, strict=True):
        place = f"{user}/{uid.decode()}"
        s3.put_object(Bucket=bucket, Key=f"{place}/message.eml", Body=raw)
        message = email.message_from_bytes(raw, policy=email.policy.default)
        parts = (part for part in message.walk() if not part.is_multipart())
        for index, part in enumerate(parts):
            s3.put_object(Bucket=bucket, Key=f"{place}/parts/{index:03}", Body=part.get_payload(decode=True))
for start in range(0, len(uids), 1000):
    imap.uid("store", b",".join(uids[start : start + 1000]), "+FLAGS.SILENT", r"(\Seen)")
imap.logout()
