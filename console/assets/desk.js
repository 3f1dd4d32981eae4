// The desk: keys, the clock of the lock, signs of life, and what was decided is sent without leaving the page.
(() => {
  const desk = () => document.querySelector("form.acts");
  if (!desk()) return;
  const kept = {
    get: (name, otherwise) => { try { return localStorage.getItem("modq-" + name) ?? otherwise; } catch { return otherwise; } },
    set: (name, value) => { try { localStorage.setItem("modq-" + name, value); } catch { /* as long as the page */ } },
  };

  // Toggles: keys, blur, grey. Each person's own, in this browser.
  const on = (name) => kept.get(name, name === "keys" ? "1" : "0") === "1";
  const showToggles = () => {
    for (const button of document.querySelectorAll("[data-toggle]")) {
      button.setAttribute("aria-pressed", String(on(button.dataset.toggle)));
    }
    document.body.classList.toggle("blur", on("blur"));
    document.body.classList.toggle("gray", on("gray"));
    document.body.classList.toggle("no-keys", !on("keys"));
  };
  const toggle = (name) => { kept.set(name, on(name) ? "0" : "1"); showToggles(); };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-toggle]");
    if (button) toggle(button.dataset.toggle);
  });
  document.addEventListener("modq:panel", showToggles);
  showToggles();

  // A key meant for the last item must not decide the next one.
  let shownAt = Date.now();
  let shown = document.querySelector("[data-item]")?.dataset.item;
  document.addEventListener("modq:panel", () => {
    const now = document.querySelector("[data-item]")?.dataset.item;
    if (now !== shown) {
      shown = now;
      shownAt = Date.now();
      const note = document.querySelector("form.acts input[name=note]");
      if (note && document.activeElement !== note) note.value = "";
      const also = document.querySelector("form.acts input[name=also]");
      if (also) also.checked = false;
      window.modq.say(now ? "An item is here." : "No item right now.", true);
    }
  });

  const typing = (target) => target.closest("input, textarea, select, [contenteditable]");
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.isComposing) return;
    if (document.querySelector("dialog[open]")) return;
    if (typing(event.target)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const key = event.key.toLowerCase();
    if (key === "?") return toggle("keys");
    if (!on("keys")) return;
    if (key === "x") return toggle("blur");
    if (key === "n") {
      event.preventDefault();
      return document.querySelector("form.acts input[name=note]")?.focus();
    }
    const button = [...document.querySelectorAll("[data-hotkey]")].find((b) => b.dataset.hotkey === key && !b.disabled);
    if (!button) return;
    event.preventDefault();
    if (button.closest("form.acts") && Date.now() - shownAt < 300) return;
    button.click();
  });

  // Sent by the script, so the page stays; the stream shows what came of it.
  let sending = false;
  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (!form.hasAttribute("data-async")) return;
    event.preventDefault();
    if (sending) return;
    sending = true;
    form.setAttribute("aria-busy", "true");
    const body = new URLSearchParams(new FormData(form));
    if (event.submitter?.name) body.append(event.submitter.name, event.submitter.value);
    try {
      const answer = await fetch(form.action, { method: "POST", body, headers: { "x-fragment": "1" } });
      if (answer.status === 401 || answer.status === 404) return location.reload();
      const text = answer.ok ? "" : answer.status === 409 ? await answer.text() : "The console refused that.";
      window.modq.showTrouble(text);
      const note = form.querySelector("input[name=note]");
      if (answer.ok && note) { note.value = ""; note.blur(); }
    } catch {
      window.modq.showTrouble("The console does not answer. Nothing was sent.");
    } finally {
      sending = false;
      form.removeAttribute("aria-busy");
    }
  });

  // The clock of the lock. The server's word counts; this only counts down, from the console's clock: the one of this
  // machine may be wrong.
  let ahead = 0;
  let heard = 0;
  const setClock = () => {
    const now = Number(document.querySelector("[data-now]")?.dataset.now || 0);
    if (now > heard) {
      heard = now;
      ahead = Date.now() - now;
    }
  };
  document.addEventListener("modq:panel", setClock);
  setClock();
  const words = (ms) => {
    const s = Math.max(0, Math.ceil(ms / 1000));
    return s >= 60 ? Math.floor(s / 60) + " m " + String(s % 60).padStart(2, "0") + " s" : s + " s";
  };
  setInterval(() => {
    for (const clock of document.querySelectorAll("[data-until]")) {
      const left = Number(clock.dataset.until) - (Date.now() - ahead);
      const text = left > 0 ? words(left) : "over";
      if (clock.textContent !== text) clock.textContent = text;
      clock.classList.toggle("warn", left < 20000);
    }
  }, 500);

  // Signs of life, at most every ten seconds: without them locks are not extended and nothing new comes.
  let told = 0;
  const here = () => {
    if (Date.now() - told < 10000) return;
    told = Date.now();
    const form = desk();
    if (!form) return;
    const body = new URLSearchParams({ csrf: form.querySelector("[name=csrf]").value, act: "here" });
    fetch(form.action, { method: "POST", body, headers: { "x-fragment": "1" } }).catch(() => {});
  };
  for (const kind of ["keydown", "pointerdown", "pointermove", "wheel", "touchstart"]) addEventListener(kind, here, { passive: true });
})();
