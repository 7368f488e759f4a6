// Fetches the page periodically and replaces its content in place, without flicker. Focus and scroll position stay.
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
  const scrollPositions = [...old.querySelectorAll(".wide")].map((element) => element.scrollLeft);
  if (before.size > 0) {
    for (const row of fresh.querySelectorAll("tbody tr[id]")) {
      if (!before.has(row.id)) row.classList.add("added");
    }
  }
  old.replaceWith(fresh);
  fresh.querySelectorAll(".wide").forEach((element, index) => { element.scrollLeft = scrollPositions[index] || 0; });
  const refocused = focused && document.getElementById(focused);
  if (refocused) refocused.focus({ preventScroll: true });
}

let isRefreshing = false;

async function refresh() {
  if (isRefreshing) return;
  isRefreshing = true;
  const live = document.getElementById("live");
  try {
    const response = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(10000) });
    const text = await response.text();
    const page = new DOMParser().parseFromString(text, "text/html");
    const fresh = page.getElementById("main");
    if (!fresh) throw new Error(text);
    replaceMain(document.importNode(fresh, true));
    live.textContent = page.getElementById("live").textContent;
    live.className = "";
    live.removeAttribute("role");
  } catch {
    // Screen readers announce this failure, but not each new time of day.
    live.setAttribute("role", "alert");
    live.textContent = "no response: this page is outdated";
    live.className = "bad";
  } finally {
    isRefreshing = false;
  }
}

// A hidden page needs no refresh.
async function run() {
  if (!document.hidden) await refresh();
  setTimeout(run, period);
}
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
setTimeout(run, period);
