// Drives Chromium for a test: a line of JSON says what to do, a line of JSON answers.
"use strict";
const fs = require("node:fs");
const readline = require("node:readline");
const { chromium } = require("playwright-core");
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const PATIENCE = 60000;
let browser, page, complaints;

// Told to the page before any script of its own, and not subject to its policy.
const listen = () => {
  window.violations = [];
  document.addEventListener("securitypolicyviolation", (event) => {
    window.violations.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sample}`);
  });
};

const orders = {
  async open({ url, scheme = "light", width = 1100, script = true }) {
    browser ??= await chromium.launch({ executablePath: process.env.ATTACHE_CHROMIUM, timeout: PATIENCE });
    const context = await browser.newContext({
      colorScheme: scheme,
      javaScriptEnabled: script,
      viewport: { width, height: 900 },
    });
    context.setDefaultTimeout(PATIENCE);
    complaints = [];
    page = await context.newPage();
    if (script) await page.addInitScript(listen);
    page.on("console", (message) => complaints.push(message.text()));
    page.on("pageerror", (error) => complaints.push(String(error)));
    return (await page.goto(url)).status();
  },
  text: ({ selector }) => page.innerText(selector),
  async wait({ selector, text }) {
    await page.locator(selector).filter({ hasText: text }).first().waitFor();
  },
  click: ({ selector }) => page.click(selector),
  focus: ({ selector }) => page.focus(selector),
  // A mark that does not outlive a load of the page.
  mark: () => page.evaluate(() => { window.marked = true; }),
  marked: () => page.evaluate(() => window.marked === true),
  focused: () => page.evaluate(() => document.activeElement.textContent.trim()),
  picture: ({ path }) => page.screenshot({ path, fullPage: true }).then(() => null),
  background: () => page.evaluate(() => getComputedStyle(document.body).backgroundColor),
  // How far the page is wider than the window.
  overhang: () => page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth),
  // What stands in a reader's way, what may (where something lies over it, for one), and what was found well.
  async barriers() {
    const { violations, incomplete, passes } = await page.evaluate(`${axe}; axe.run()`);
    const told = ({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" ")}`;
    return { barriers: violations.map(told), unclear: incomplete.map(told), passed: passes.map(({ id }) => id) };
  },
  // Goes on to the next control by keyboard: which it is, and whether one can see that.
  async tab() {
    await page.keyboard.press("Tab");
    return page.evaluate(() => {
      const control = document.activeElement;
      const { outlineStyle, outlineWidth } = getComputedStyle(control);
      const { width, height } = control.getBoundingClientRect();
      const seen = outlineStyle !== "none" && parseFloat(outlineWidth) >= 2 && width > 0 && height > 0;
      return { name: control.textContent.trim(), seen };
    });
  },
  title: () => page.title(),
  // Which part of the page the address names.
  target: () => page.evaluate(() => document.querySelector(":target h2").textContent),
  // Whatever sticks out of the window or of what holds it.
  spilled: () => page.evaluate(() => [...document.querySelectorAll("main *")]
    .filter((it) => it.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5)
    .map((it) => it.outerHTML.slice(0, 100))),
  complaints: async () => [...complaints, ...(await page.evaluate(() => window.violations))],
};

(async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { order, ...rest } = JSON.parse(line);
    let answer;
    try {
      answer = { done: (await orders[order](rest)) ?? null };
    } catch (error) {
      answer = { failed: String(error) };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
  await browser?.close();
})();
