// Shows the page anew when something happens to its run. Without it the page stays as it was when it was opened.
(() => {
  if (!window.EventSource) return;
  let due = 0;
  const later = (millis) => { due = due || setTimeout(refresh, millis); };
  async function refresh() {
    due = 0;
    // Nobody's words are taken away while they are written.
    if (document.activeElement && document.activeElement.matches("input, textarea, select")) return later(2000);
    const answer = await fetch(location.href, { cache: "no-store" });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const old = document.querySelector("main"), fresh = page.querySelector("main");
    if (!old || !fresh) return;
    const name = (one) => one.dataset.keep || "";
    const open = new Set([...old.querySelectorAll("details[open]")].map(name));
    fresh.querySelectorAll("details").forEach((one) => { one.open = open.has(name(one)) && name(one) !== ""; });
    old.replaceWith(fresh);
  }
  let source = null;
  // A browser opens few connections to one server: pages that nobody sees leave theirs to others.
  function follow() {
    const here = document.querySelector("[data-events]");
    if (document.hidden || !here) { if (source) source.close(); source = null; return; }
    if (source) return;
    source = new EventSource(here.dataset.events);
    source.onmessage = () => later(300);
    source.addEventListener("progress", (event) => {
      const told = JSON.parse(event.data);
      const at = [...document.querySelectorAll("[data-progress]")].find((one) => one.dataset.progress === told.step);
      if (at) at.textContent = (told.percent === null ? "" : told.percent + " % ") + told.message;
    });
  }
  document.addEventListener("visibilitychange", follow);
  follow();
})();
