// A box that filters rows by their text. Without scripts the page is whole, only without the box.
for (const section of document.querySelectorAll("section.rows")) {
  const box = Object.assign(document.createElement("input"), {
    type: "search", className: "filter", placeholder: "filter rows by their text",
  });
  box.setAttribute("aria-label", "filter rows");
  box.addEventListener("input", () => {
    const words = box.value.toLowerCase();
    for (const row of section.querySelectorAll("article")) {
      row.hidden = !row.textContent.toLowerCase().includes(words);
    }
  });
  section.querySelector("details")?.before(box);
}
