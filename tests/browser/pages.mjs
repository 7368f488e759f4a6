// Tests the pages in a real Chromium like a user: sorts, opens and watches containers, with mouse and keyboard, in light
// and dark mode, on a phone, and without scripts. Started by tests/system/browser.rs, which creates the containers "calm",
// "careless" (zombies), "busy" and one with a hostile process.
//   PAGES  address of the exporter    OUT  directory for screenshots    DOCKER_HOST  for docker exec

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chromium } from "playwright-core";

const { PAGES, OUT } = process.env;
const exec = (...command) => execFileSync("docker", ["exec", "-d", "calm", ...command]);

const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});

async function open(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1100, height: 700 }, ...options });
  const page = await context.newPage();
  const errors = [];
  page.on("console", (message) => { if (message.type() === "error") errors.push(message.text()); });
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("dialog", (dialog) => { errors.push(`a dialog: ${dialog.message()}`); dialog.dismiss(); });
  page.on("request", (request) => {
    if (!request.url().startsWith(PAGES)) errors.push(`a request to ${request.url()}`);
  });
  return { page, errors };
}

const names = (page) => page.locator("tbody th a").allTextContents();

async function sortsAndOpens() {
  const { page, errors } = await open();
  await page.goto(PAGES);
  assert.equal((await names(page))[0], "careless", "the worst container is first");
  const zombies = page.locator("tbody tr", { hasText: "careless" }).locator("td.bad");
  assert.equal(await zombies.first().textContent(), "3");
  await page.screenshot({ path: `${OUT}/list-light.png` });
  await page.getByRole("link", { name: "Name" }).click();
  assert.deepEqual(await names(page), [...(await names(page))].sort());
  assert.equal(await page.locator("th[aria-sort=ascending]").textContent(), "Name");
  await page.getByRole("link", { name: "Name" }).click();
  assert.deepEqual(await names(page), [...(await names(page))].sort().reverse());
  await page.getByRole("link", { name: "careless" }).click();
  assert.equal(await page.locator("h1").textContent(), "careless");
  assert.match(await page.locator("table.forest").innerText(), /zombie\s+└─3\*\[workload\]/);
  await page.getByRole("link", { name: "Unfold" }).click();
  assert.equal(await page.locator("tr.bad").count(), 3);
  await page.getByRole("link", { name: "Zombies only" }).click();
  assert.equal(await page.locator("tbody tr").count(), 4, "the zombies and their parent");
  assert.deepEqual(errors, []);
}

async function refreshesInPlace() {
  const { page, errors } = await open();
  await page.goto(`${PAGES}/containers/calm`);
  const rows = page.locator("tbody tr");
  const before = await rows.count();
  // A reload would remove this variable.
  await page.evaluate(() => { window.sameDocument = true; });
  await page.locator("#fold").focus();
  // Rows are marked only until the next refresh.
  await page.evaluate(() => {
    const check = () => { window.added ??= document.querySelector("tr.added")?.innerText; };
    new MutationObserver(check).observe(document.body, { subtree: true, childList: true, attributes: true });
  });
  exec("/bin/sleep", "4711");
  await page.waitForFunction((count) => document.querySelectorAll("tbody tr").length === count + 1, before);
  // A process that was started by exec first has the name of the runtime.
  assert.match(await (await page.waitForFunction(() => window.added)).jsonValue(), /exec/);
  await page.waitForFunction(() => /exec\s+sleep/.test(document.querySelector("table.forest").innerText));
  await page.screenshot({ path: `${OUT}/added-light.png` });
  assert.equal(await page.evaluate(() => window.sameDocument), true);
  assert.equal(await page.evaluate(() => document.activeElement.id), "fold", "the focus is kept");
  assert.deepEqual(errors, []);
}

async function byKeyboard() {
  const { page, errors } = await open();
  await page.goto(PAGES);
  const reach = async (name) => {
    for (let presses = 0; presses < 40; presses++) {
      if ((await page.evaluate(() => document.activeElement.textContent)) === name) return;
      await page.keyboard.press("Tab");
    }
    assert.fail(`${name} cannot be reached by keyboard`);
  };
  await reach("busy");
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  assert.notEqual(outline, "none", "the focus is visible");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/containers/busy");
  assert.deepEqual(errors, []);
}

async function hostileNames() {
  const { page, errors } = await open();
  await page.goto(`${PAGES}/containers/hostile`);
  const text = await page.locator("table.forest").innerText();
  assert.match(text, /<script>alert/);
  assert.equal(await page.locator("table.forest script, table.forest img").count(), 0);
  assert.deepEqual(errors, []);
}

async function darkAndNarrow() {
  const dark = await open({ colorScheme: "dark" });
  await dark.page.goto(`${PAGES}/containers/busy`);
  const back = await dark.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  assert.equal(back, "rgb(22, 24, 28)");
  await dark.page.screenshot({ path: `${OUT}/busy-dark.png` });
  const phone = await open({ viewport: { width: 390, height: 800 }, isMobile: true, hasTouch: true });
  for (const path of ["/", "/containers/busy"]) {
    await phone.page.goto(PAGES + path);
    const { width, inner } = await phone.page.evaluate(
      () => ({ width: document.documentElement.scrollWidth, inner: window.innerWidth }));
    assert.ok(width <= inner, `${path} is ${width} px wide on a phone with ${inner} px: only the table may scroll`);
  }
  await phone.page.screenshot({ path: `${OUT}/busy-phone.png` });
  assert.deepEqual([...dark.errors, ...phone.errors], []);
}

async function withoutScripts() {
  const { page } = await open({ javaScriptEnabled: false });
  await page.goto(PAGES);
  await page.getByRole("link", { name: "careless" }).click();
  assert.match(await page.locator("table.forest").innerText(), /3\*\[workload\]/);
  const before = await page.locator("#live").textContent();
  for (let now = before; now === before;) {
    await page.waitForEvent("domcontentloaded");
    now = await page.locator("#live").textContent();
  }
}

try {
  for (const step of [sortsAndOpens, refreshesInPlace, byKeyboard, hostileNames, darkAndNarrow, withoutScripts]) {
    await step();
    console.log(`ok ${step.name}`);
  }
} finally {
  await browser.close();
}
