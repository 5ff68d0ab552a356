// Scoreboard: text search and filters. Without this script the whole table is shown.
(function () {
  const table = document.querySelector("table.encore-scoreboard");
  if (!table) return;
  const rows = Array.from(table.tBodies[0].rows);
  const kinds = ["verdict", "chapter", "kind"];

  function valueOf(row, kind) {
    for (const name of row.classList) if (name.startsWith(kind + "-")) return name.slice(kind.length + 1);
    return "";
  }

  function labelled(text, control) {
    const label = document.createElement("label");
    label.append(text, control);
    form.append(label);
    return control;
  }

  const form = document.createElement("form");
  form.className = "encore-filter";
  form.setAttribute("role", "search");
  const search = labelled("Search", document.createElement("input"));
  search.type = "search";
  search.name = "search";
  const selects = kinds.map(function (kind) {
    const select = labelled(kind[0].toUpperCase() + kind.slice(1), document.createElement("select"));
    select.name = kind;
    select.append(new Option("all", ""));
    const names = new Map();
    for (const row of rows) {
      const shown = kind === "chapter" ? row.cells[0].querySelector(".encore-small").textContent : valueOf(row, kind).replace("-", " ");
      names.set(valueOf(row, kind), shown);
    }
    for (const [value, shown] of names) select.append(new Option(shown, value));
    return select;
  });
  const count = document.createElement("output");
  count.setAttribute("aria-live", "polite");
  form.append(count);

  function apply() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      const fits = words.every((word) => text.includes(word)) && selects.every((s) => !s.value || valueOf(row, s.name) === s.value);
      row.hidden = !fits;
      shown += fits;
    }
    count.value = shown + " of " + rows.length + " claims";
  }

  const wanted = new URLSearchParams(location.search);
  search.value = wanted.get("search") || "";
  for (const select of selects) {
    const value = wanted.get(select.name) || "";
    if (value && !Array.from(select.options).some((o) => o.value === value)) select.append(new Option(value.replace("-", " "), value));
    select.value = value;
  }
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  const frame = table.closest(".pst-scrollable-table-container") || table;
  frame.before(form);
  apply();
})();
