// Asks for the page again and puts what is new in the place of what is shown.
(() => {
  "use strict";
  const EVERY = 2000;
  const contact = document.getElementById("contact");
  const said = document.getElementById("said");
  const quiet = contact.cloneNode(true).childNodes;
  let asking = false;
  let since = null;

  const shown = () => document.getElementById("shown");
  const headline = () => document.getElementById("headline").textContent;

  // Who marks text to copy it, or holds a button down, should not lose it.
  const busy = () => {
    const selection = document.getSelection();
    const marked = selection && !selection.isCollapsed && shown().contains(selection.anchorNode);
    return asking || marked || document.hidden || shown().querySelector("button:active") !== null;
  };

  const replace = (text) => {
    const fresh = new DOMParser().parseFromString(text, "text/html");
    const main = fresh.getElementById("shown");
    if (!main) throw new Error("not our page");
    for (const open of shown().querySelectorAll("details[open]")) {
      const same = main.querySelector("#" + open.id);
      if (same) same.open = true;
    }
    const before = headline();
    const focused = path(document.activeElement);
    const read = beingRead();
    document.title = fresh.title;
    shown().replaceWith(document.adoptNode(main));
    const moved = read && document.getElementById(read.id);
    if (moved) scrollBy(0, moved.getBoundingClientRect().top - read.top);
    if (focused) shown().querySelector(focused)?.focus({ preventScroll: true });
    if (headline() !== before) said.textContent = headline();
  };

  // What is read should stay where it is, whatever comes or goes above it.
  const beingRead = () => {
    if (scrollY === 0) return null;
    for (const section of shown().querySelectorAll("section[id]")) {
      const { top, bottom } = section.getBoundingClientRect();
      if (bottom > 0) return { id: section.id, top };
    }
    return null;
  };

  // How to find a control again that has the keyboard.
  const path = (element) => {
    if (!element || !shown().contains(element)) return null;
    if (element.tagName === "SUMMARY") return "#" + element.parentNode.id + " > summary";
    if (element.tagName === "A") return `a[href="${element.getAttribute("href")}"]`;
    const form = element.closest("form");
    return form ? `form[action="${form.getAttribute("action")}"] button` : null;
  };

  const answered = () => {
    if (since === null) return;
    since = null;
    document.body.classList.remove("lost");
    contact.replaceChildren(...[...quiet].map((node) => node.cloneNode(true)));
    said.textContent = headline();
  };

  const lost = () => {
    if (since !== null) return;
    since = new Date();
    document.body.classList.add("lost");
    document.title = `No answer · ${document.title}`;
    contact.textContent = `No answer since ${since.toISOString().slice(11, 19)} UTC: what is shown is old.`;
    said.textContent = contact.textContent;
  };

  const ask = async () => {
    if (busy()) return;
    asking = true;
    try {
      const answer = await fetch("/", { cache: "no-store", signal: AbortSignal.timeout(5000) });
      if (!answer.ok) throw new Error(answer.statusText);
      replace(await answer.text());
      answered();
    } catch {
      lost();
    } finally {
      asking = false;
    }
  };

  setInterval(ask, EVERY);
  document.addEventListener("visibilitychange", ask);
})();
