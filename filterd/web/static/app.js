// Conveniences of the pages; everything works without them.
"use strict";

// Pages tell times by the clock of whoever reads them.
document.cookie = `zone=${Intl.DateTimeFormat().resolvedOptions().timeZone}~${-new Date().getTimezoneOffset()}; path=/; max-age=31536000; samesite=lax${location.protocol === "https:" ? "; secure" : ""}`;

// A box in a table's head marks every row; the bar of actions says how many are marked.
document.addEventListener("change", (event) => {
  const box = event.target;
  if (!(box instanceof HTMLInputElement) || box.type !== "checkbox") return;
  const form = box.closest("form[data-marks]");
  if (!form) return;
  const rows = [...form.querySelectorAll("input[name=id]")];
  if (box.matches("[data-all]")) rows.forEach((row) => { row.checked = box.checked; });
  const marked = rows.filter((row) => row.checked).length;
  const all = form.querySelector("[data-all]");
  if (all) {
    all.checked = marked > 0 && marked === rows.length;
    all.indeterminate = marked > 0 && marked < rows.length;
  }
  form.toggleAttribute("data-marked", marked > 0);
  const count = form.querySelector("[data-count]");
  if (count) count.textContent = String(marked);
});

// j and k go down and up the rows, x marks, Enter opens, / searches, ? tells.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const at = document.activeElement;
  if (at instanceof HTMLElement && at.matches("input:not([type=checkbox]), textarea, select")) {
    if (event.key === "Escape") at.blur();
    return;
  }
  const rows = [...document.querySelectorAll("[data-row] a.subject")];
  const row = at instanceof HTMLElement ? at.closest("[data-row]") : null;
  const here = row ? rows.findIndex((link) => row.contains(link)) : -1;
  const go = (to) => rows[Math.max(0, Math.min(rows.length - 1, to))]?.focus();
  switch (event.key) {
    case "j": go(here + 1); break;
    case "k": go(here - 1); break;
    case "x": row?.querySelector("input[name=id]")?.click(); break;
    case "/": {
      const search = document.querySelector("input[type=search]");
      if (!search) return;
      search.focus();
      break;
    }
    case "?": document.querySelector("details.keys")?.toggleAttribute("open"); break;
    default: {
      const button = document.querySelector(`button[data-key="${CSS.escape(event.key)}"]`);
      if (!button) return;
      button.click();
    }
  }
  event.preventDefault();
});
