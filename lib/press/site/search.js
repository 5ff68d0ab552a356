// The order of search results, and a line below those that are papers. Read with the search page only.
// Sphinx takes a page's best word, so that all pages that have one of the words in their title come alike. Here every word counts, by how
// few pages have it, and three times in a title or a page's name; a paper's page counts double, a page that lists everything half.
var Scorer = {
  objNameMatch: 11, objPartialMatch: 6, objPrio: { 0: 15, 1: 5, 2: -5 }, objPrioDefault: 0,
  title: 15, partialTitle: 7, term: 5, partialTerm: 2,

  score: function ([docname, , , , score]) {
    const { docnames, terms, titleterms } = Search._index;
    const page = docnames.indexOf(docname);
    const pages = (all, word) => (Object.hasOwn(all, word) ? [].concat(all[word]) : []);
    let sum = score / 5;
    const name = docname.split("/").pop().split("-");
    Scorer.parsed ??= Search._parseQuery(new URLSearchParams(location.search).get("q") || "");
    const [, stems, , words] = Scorer.parsed;
    for (const word of stems) {
      const inText = pages(terms, word), inTitle = pages(titleterms, word);
      const rarity = Math.log(1 + docnames.length / Math.max(1, new Set([...inText, ...inTitle]).size));
      sum += rarity * (inTitle.includes(page) ? 3 : inText.includes(page) ? 1 : 0);
    }
    sum += 3 * Math.log(1 + docnames.length) * name.filter((part) => words.has(part)).length / name.length;
    if (docname.startsWith("notebooks/")) return 2 * sum;
    return /^book\/(gallery|scoreboard|status|library|bibliography)$/.test(docname) ? sum / 2 : sum;
  },
};

document.addEventListener("DOMContentLoaded", async function () {
  const results = document.getElementById("search-results");
  if (!results) return;
  const lines = await (await fetch("_static/papers.json")).json();
  function tell() {
    for (const link of results.querySelectorAll("ul.search > li > a:not([data-told])")) {
      link.dataset.told = "";
      const line = lines[new URL(link.href).pathname.split("/").slice(-2).join("/").replace(".html", "")];
      if (!line) continue;
      const said = document.createElement("p");
      said.className = "encore-source";
      said.textContent = line;
      link.after(said);
    }
  }
  new MutationObserver(tell).observe(results, { childList: true, subtree: true });
  tell();
});
