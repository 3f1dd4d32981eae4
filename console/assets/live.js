// Keeps an open page up to date: the server sends panels that differ, and what differs in them is changed in place, so
// that focus, ticks, selections and scrolling stay. A panel in which somebody is at work is left alone until they are done.
// Also: dialogs for forms, ticks, times in the reader's zone. Without scripts every page works, only by hand.
(() => {
  const byId = (id) => document.getElementById(id);

  // In place: what is the same stays the same node. Children with a data-key are told apart by it.
  const keyOf = (node) => node.nodeType === 1 ? node.getAttribute("data-key") : null;
  const alike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && keyOf(a) === keyOf(b);
  const morph = (from, to) => {
    if (from.nodeType === 3) {
      if (from.data !== to.data) from.data = to.data;
      return;
    }
    if (from.nodeType !== 1) return;
    if (from.nodeName === "TIME" && from.getAttribute("datetime") === to.getAttribute("datetime")) return;
    for (const { name } of [...from.attributes]) {
      if (!to.hasAttribute(name) && !["open", "checked", "style"].includes(name)) from.removeAttribute(name);
    }
    for (const { name, value } of [...to.attributes]) {
      // What somebody typed, ticked or toggled is theirs.
      const theirs = ["checked", "aria-pressed", "open"].includes(name) || (name === "value" && from.nodeName === "INPUT" && from.type !== "hidden");
      if (!theirs && from.getAttribute(name) !== value) from.setAttribute(name, value);
    }
    let at = from.firstChild;
    for (const wanted of [...to.childNodes]) {
      let match = at;
      const key = keyOf(wanted);
      if (key !== null) {
        while (match && !alike(match, wanted)) match = match.nextSibling;
      } else if (match && !alike(match, wanted)) match = null;
      if (!match) {
        from.insertBefore(wanted, at);
        continue;
      }
      if (match !== at) from.insertBefore(match, at);
      else at = at.nextSibling;
      morph(match, wanted);
    }
    while (at) {
      const next = at.nextSibling;
      at.remove();
      at = next;
    }
  };

  const atWork = (panel) => {
    const active = document.activeElement;
    if (active && panel.contains(active) && active.matches("input:not([type=hidden]):not([name=note]), textarea, select")) return true;
    if (panel.querySelector("input[type=checkbox]:checked:not([name=also]), dialog[open]")) return true;
    const chosen = getSelection();
    return chosen && !chosen.isCollapsed && panel.contains(chosen.anchorNode);
  };

  const waiting = new Map();
  const apply = (id, html) => {
    const panel = byId("panel-" + id);
    // The page was an error before: now it can be itself.
    if (!panel) return location.reload();
    if (atWork(panel)) {
      waiting.set(id, html);
      panel.setAttribute("data-held", "");
      return;
    }
    waiting.delete(id);
    panel.removeAttribute("data-held");
    const wanted = document.createElement("div");
    wanted.innerHTML = html;
    for (const name of panel.getAttributeNames()) wanted.setAttribute(name, panel.getAttribute(name));
    morph(panel, wanted);
    localTimes(panel);
    document.dispatchEvent(new CustomEvent("modq:panel", { detail: id }));
  };
  const retry = () => { for (const [id, html] of [...waiting]) apply(id, html); };

  // One stream for each tab, closed while nobody sees it.
  let source = null;
  let last = 0;
  let spoken = 0;
  let trouble = "";
  const showTrouble = (text) => {
    const box = byId("trouble");
    if (!box || text === trouble) return;
    trouble = text;
    box.hidden = !text;
    box.textContent = text ? text + " What you see is from before; the page comes back by itself." : "";
    say(text || "The server answers again.", true);
  };
  // Read out by screen readers: seldom, so that nobody is talked over.
  const say = (text, now) => {
    const status = byId("status");
    if (!status || (!now && Date.now() - spoken < 10000)) return;
    spoken = Date.now();
    status.textContent = text;
  };
  const showAge = () => {
    const age = byId("age");
    if (!age) return;
    const s = Math.round((Date.now() - last) / 1000);
    age.textContent = !last ? "connecting" : s < 8 ? "live" : "figures " + s + " s old";
    age.classList.toggle("stale", last > 0 && s >= 8);
  };
  let failures = 0;
  const open = () => {
    if (source || !document.body.hasAttribute("data-live")) return;
    source = new EventSource(location.href);
    source.addEventListener("page", (event) => {
      failures = 0;
      const told = JSON.parse(event.data);
      if (told.age !== undefined && told.age !== null) last = Date.now() - told.age;
      if (!told.trouble && told.age === undefined) last = Date.now();
      showTrouble(told.trouble || "");
      for (const [id, html] of Object.entries(told.panels || {})) apply(id, html);
      if (Object.keys(told.panels || {}).length) say("Figures are up to date.");
      showAge();
    });
    source.onerror = () => {
      failures += 1;
      if (failures > 1) showTrouble("The console does not answer.");
      if (source && source.readyState === EventSource.CLOSED) {
        // Signed out, or the seat is gone: a new look at the page tells.
        source = null;
        setTimeout(async () => {
          try {
            const answer = await fetch(location.href, { redirect: "manual", headers: { "x-probe": "1" } });
            if (answer.type === "opaqueredirect" || answer.ok) return location.reload();
          } catch { /* not there yet */ }
          open();
        }, 2000);
      }
    };
  };
  const close = () => { source?.close(); source = null; };
  document.addEventListener("visibilitychange", () => document.hidden ? close() : open());
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => { if (event.persisted) open(); });
  setInterval(() => { showAge(); retry(); }, 1000);

  // Forms in dialogs. The page behind stays as it is; what was typed is sent as from any page.
  const show = async (address, body) => {
    let answer;
    try {
      answer = await fetch(address, { method: body ? "POST" : "GET", body, headers: { "x-fragment": "1" } });
    } catch {
      return showTrouble("The console does not answer.");
    }
    const text = await answer.text();
    if (!answer.ok || answer.redirected || !text.startsWith("<form")) return body ? location.reload() : location.assign(address);
    const dialog = document.createElement("dialog");
    dialog.innerHTML = text;
    const title = dialog.querySelector("h1");
    if (title) {
      title.id = "dialog-title";
      dialog.setAttribute("aria-labelledby", "dialog-title");
    }
    dialog.addEventListener("close", () => dialog.remove());
    dialog.addEventListener("click", (event) => {
      if (event.target.closest("[data-close]")) {
        event.preventDefault();
        dialog.close();
      }
    });
    dialog.addEventListener("submit", (event) => {
      for (const button of event.target.querySelectorAll("button[type=submit]")) setTimeout(() => { button.disabled = true; button.textContent = "Sending…"; });
    });
    document.body.append(dialog);
    dialog.showModal();
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-dialog]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    show(link.href);
  });
  document.addEventListener("submit", (event) => {
    const button = event.submitter;
    if (!button || !button.hasAttribute("data-dialog")) return;
    event.preventDefault();
    show(button.formAction, new URLSearchParams(new FormData(event.target)));
  });

  // Ticks.
  const ticked = () => {
    const n = document.querySelectorAll("input[name=item]:checked").length;
    for (const button of document.querySelectorAll("[data-needs-tick]")) button.disabled = n === 0;
  };
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-tick-all]")) {
      for (const box of document.querySelectorAll("input[name=item]")) box.checked = event.target.checked;
    }
    ticked();
  });

  const localTimes = (within) => {
    for (const time of within.querySelectorAll("time[datetime]")) {
      const date = new Date(time.dateTime);
      if (isNaN(date)) continue;
      time.title = time.dateTime;
      time.textContent = date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
    }
  };

  localTimes(document);
  ticked();
  if (!document.hidden) open();
  window.modq = { say, showTrouble };
})();
