// Fetches the page anew and puts what has changed in place: no flicker, and focus and scroll position stay.
"use strict";

const period = Math.max(1, Number(document.body.dataset.interval)) * 1000;

function rowIds(root) {
  return new Set([...root.querySelectorAll("tbody tr[id]")].map((row) => row.id));
}

function replaceMain(fresh) {
  const old = document.getElementById("main");
  if (old.innerHTML === fresh.innerHTML) return;
  const before = rowIds(old);
  const focused = document.activeElement && document.activeElement.id;
  const lefts = [...old.querySelectorAll(".wide")].map((element) => element.scrollLeft);
  if (before.size > 0) {
    for (const row of fresh.querySelectorAll("tbody tr[id]")) {
      if (!before.has(row.id)) row.classList.add("came");
    }
  }
  old.replaceWith(fresh);
  fresh.querySelectorAll(".wide").forEach((element, index) => { element.scrollLeft = lefts[index] || 0; });
  const again = focused && document.getElementById(focused);
  if (again) again.focus({ preventScroll: true });
}

let isAsking = false;

async function refresh() {
  if (isAsking) return;
  isAsking = true;
  const live = document.getElementById("live");
  try {
    const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(10000) });
    const text = await answer.text();
    const page = new DOMParser().parseFromString(text, "text/html");
    const fresh = page.getElementById("main");
    if (!fresh) throw new Error(text);
    replaceMain(document.importNode(fresh, true));
    live.textContent = page.getElementById("live").textContent;
    live.className = "";
    live.removeAttribute("role");
  } catch {
    // Said aloud; the time of day is not.
    live.setAttribute("role", "alert");
    live.textContent = "no answer: what you see is old";
    live.className = "bad";
  } finally {
    isAsking = false;
  }
}

// Nobody looks at a hidden page.
async function run() {
  if (!document.hidden) await refresh();
  setTimeout(run, period);
}
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
setTimeout(run, period);
