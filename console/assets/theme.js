// The reader's colours, before the page is painted: as the system, light, or dark. Kept in this browser only.
(() => {
  const root = document.documentElement;
  const read = () => { try { return localStorage.getItem("modq-theme") || "system"; } catch { return "system"; } };
  const apply = (theme) => {
    if (theme === "system") root.removeAttribute("data-theme");
    else root.setAttribute("data-theme", theme);
    const button = document.querySelector("[data-theme-next]");
    if (button) button.textContent = "Theme: " + theme;
  };
  apply(read());
  document.addEventListener("DOMContentLoaded", () => {
    apply(read());
    document.querySelector("[data-theme-next]")?.addEventListener("click", () => {
      const all = ["system", "light", "dark"];
      const next = all[(all.indexOf(read()) + 1) % all.length];
      try { localStorage.setItem("modq-theme", next); } catch { /* it lasts as long as the page then */ }
      apply(next);
    });
  });
})();
