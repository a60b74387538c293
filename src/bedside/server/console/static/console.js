// What pages need of scripts beside htmx. Every page also works without.
"use strict";

// After a search or a check, take the keyboard and the screen reader to what was found.
document.addEventListener("htmx:afterSwap", (event) => {
  const found = event.detail.target;
  const head = found.querySelector("h1, h2, [role=alert]");
  if (found.id === "health" || !head) return;
  head.tabIndex = -1;
  head.focus({ preventScroll: true });
  head.scrollIntoView({ block: "nearest" });
});

// A button that leads elsewhere, such as a download, is left to the browser.
document.addEventListener("htmx:configRequest", (event) => {
  const button = event.detail.triggeringEvent?.submitter;
  if (button?.hasAttribute("data-plain")) {
    event.preventDefault();
    const form = button.form;
    window.location.assign(`${button.formAction}?${new URLSearchParams(new FormData(form))}`);
  }
});
