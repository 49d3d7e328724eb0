/* One way of writing numbers with the tables above. */
const forms = {
  length: (tokens) => {
    for (const [unit, size] of [["M", 1048576], ["K", 1024]]) {
      if (tokens >= size && tokens % size === 0) return `${(tokens / size).toLocaleString("en")}${unit}`;
    }
    return tokens.toLocaleString("en");
  },
  depth: (percent) => `${Number(percent.toFixed(2))} %`,
  places: (values) => values.map((value) => forms.depth(value)).join(", "),
  share: (value) => (value > 0 && value < 1 ? Math.min(Math.max(value, 0.01), 0.99) : value).toFixed(2),
  seconds: (value) => `${value >= 100 ? value.toFixed(0) : Number(value.toPrecision(3))} s`,
  count: (value) => value.toLocaleString("en"),
};
const written = (form, value) => (isMissing(value) ? "–" : forms[form] ? forms[form](value) : String(value));
const isText = (form) => form === "text" || form === "name";

/* How many letters up to the last "/" all names begin with. */
const commonFolder = (names) => {
  let common = names.length > 1 ? names[0] : "";
  for (const name of names) while (!name.startsWith(common)) common = common.slice(0, -1);
  return common.lastIndexOf("/") + 1;
};

class Explorer {
  constructor(root) {
    const data = dataOf(root.querySelector("script.explorer-data"));
    this.root = root;
    this.noun = data.noun;
    this.layers = data.layers;
    this.picked = data.picked;
    this.fields = data.fields.map(([name, title, form, column, filter], place) => ({ name, title, form, column, filter, place }));
    this.rows = data.rows;
    for (const { form, place } of this.fields.filter((field) => isText(field.form))) {
      for (const row of this.rows) if (row[place] !== null) row[place] = data.texts[row[place]];
    }
    this.columns = this.fields.filter((field) => field.column);
    this.score = this.fields.find((field) => field.name === "score");
    this.common = commonFolder(this.rows.map((row) => row[0]));
    this.order = null;
    this.limit = 25;
    this.open = new Set();
    this.filters = new Map();
    this.build();
    this.show();
  }

  build() {
    const controls = make("div", "controls");
    const control = (title, element) => {
      const label = make("label", "", title);
      label.append(element);
      controls.append(label);
      element.addEventListener("input", () => this.refresh());
      return element;
    };
    for (const field of this.fields.filter((one) => one.filter)) {
      const values = sorted([...new Set(this.rows.map((row) => row[field.place]))], (value) => value, false);
      if (values.length < 2) continue;
      const select = make("select");
      select.append(new Option("all", ""));
      values.forEach((value, place) => select.append(new Option(written(field.form, value), String(place))));
      this.filters.set(field.name, { field, select: control(field.title, select), values });
    }
    if (this.score) {
      this.outcome = make("select");
      for (const [value, text] of [["", "all"], ["right", "full score"], ["wrong", "less than full"], ["failed", "failed"]]) {
        this.outcome.append(new Option(text, value));
      }
      control("outcome", this.outcome);
    }
    this.search = control("text", make("input"));
    this.search.type = "search";
    this.count = make("output");
    controls.append(button("", "Reset", () => this.pick({})), this.count);
    const scroll = make("div", "scroll");
    const table = make("table", "samples");
    const head = table.createTHead().insertRow();
    this.columns.forEach((field) => {
      const cell = make("th", isText(field.form) ? "" : "number", field.title);
      cell.scope = "col";
      head.append(cell);
    });
    sortableHeads([...head.cells], (place, down) => {
      this.order = { place: this.columns[place].place, down };
      this.show();
    });
    this.body = table.createTBody();
    this.more = button("plain", "", () => { this.limit += 200; this.show(); });
    scroll.append(table);
    this.root.append(controls, scroll, this.more);
  }

  /* The list cut down to some values, by field name, and no other filter. */
  pick(values) {
    this.search.value = "";
    if (this.outcome) this.outcome.value = "";
    for (const [name, { select, values: known }] of this.filters) {
      const same = (value) => (typeof value === "number" ? value === Number(values[name]) : value === values[name]);
      const place = name in values ? known.findIndex(same) : -1;
      select.value = place < 0 ? "" : String(place);
    }
    this.refresh();
  }

  refresh() {
    this.limit = 25;
    this.open.clear();
    this.show();
  }

  matching() {
    const chosen = [...this.filters.values()].filter(({ select }) => select.value !== "");
    const words = this.search.value.trim().toLowerCase();
    const outcome = this.outcome ? this.outcome.value : "";
    const texts = this.fields.filter((field) => isText(field.form));
    return this.rows.filter((row) => {
      if (!chosen.every(({ field, select, values }) => row[field.place] === values[Number(select.value)])) return false;
      if (outcome && this.kind(row) !== outcome) return false;
      return !words || texts.some(({ place }) => String(row[place] ?? "").toLowerCase().includes(words));
    });
  }

  kind(row) {
    const value = this.score ? row[this.score.place] : null;
    return value === null ? "failed" : value === 1 ? "right" : "wrong";
  }

  show() {
    let found = this.matching();
    if (this.order) found = sorted(found, (row) => row[this.order.place], this.order.down);
    const shown = found.slice(0, this.limit);
    const noun = (n) => `${n.toLocaleString("en")} ${this.noun}${n === 1 ? "" : "s"}`;
    this.count.textContent = found.length === this.rows.length ? noun(found.length) : `${noun(found.length)} of ${this.rows.length.toLocaleString("en")}`;
    this.more.hidden = shown.length === found.length;
    this.more.textContent = `Show ${Math.min(200, found.length - shown.length)} more`;
    this.body.replaceChildren(...shown.flatMap((row) => (this.open.has(row) ? [this.line(row), this.sheet(row)] : [this.line(row)])));
  }

  line(row) {
    const line = make("tr");
    this.columns.forEach((field, place) => {
      const value = row[field.place];
      const cell = line.insertCell();
      if (place === 0) {
        const open = button("open", String(value).slice(this.common), () => {
          if (this.open.has(row)) this.open.delete(row); else this.open.add(row);
          const expanded = this.open.has(row);
          open.setAttribute("aria-expanded", String(expanded));
          if (expanded) line.after(this.sheet(row)); else line.nextElementSibling.remove();
        });
        open.setAttribute("aria-expanded", String(this.open.has(row)));
        cell.className = "name";
        cell.append(open);
        return;
      }
      cell.textContent = field === this.score && value === null ? "failed" : written(field.form, value);
      cell.className = { text: "short", name: "name" }[field.form] ?? "number";
      if (field === this.score && this.kind(row) !== "right") cell.classList.add(value === null ? "failure" : "wrong");
    });
    return line;
  }

  sheet(row) {
    const line = make("tr", "detail");
    const cell = line.insertCell();
    cell.colSpan = this.columns.length;
    const sheet = make("div", "sheet");
    cell.append(sheet);
    const facts = make("dl");
    const add = (title, text) => facts.append(make("dt", "", title), make("dd", "", text));
    for (const field of this.fields) {
      const value = row[field.place];
      if (isMissing(value) || field.form === "text") continue;
      add(field.title, written(field.form, value));
      if (field.form !== "depth" && field.form !== "places") continue;
      const bar = make("div", "where");
      for (const place of [value].flat()) {
        const mark = make("span");
        mark.style.left = `${Math.min(100, Math.max(0, place))}%`;
        bar.append(mark);
      }
      bar.setAttribute("role", "img");
      bar.setAttribute("aria-label", `${field.title}: ${written(field.form, value)}`);
      facts.lastElementChild.append(bar);
    }
    const layers = row[this.fields.length];
    if (this.picked && layers.some((layer) => layer[1] !== null)) {
      const some = layers.filter((layer) => layer[1] > 0).map((layer) => layer[0]);
      add(this.picked, `${some.length ? some.join(", ") : "none"} (of ${layers.length})`);
    }
    sheet.append(facts);
    for (const field of this.fields) {
      if (field.form !== "text" || isMissing(row[field.place])) continue;
      sheet.append(make("h4", "", field.title), make("div", "quote", row[field.place]));
    }
    this.addOthers(sheet, row);
    if (layers.length) this.addLayers(sheet, layers);
    return line;
  }

  /* What the others made of the very same question. */
  addOthers(sheet, row) {
    const others = this.rows.filter((other) => other !== row && other[0] === row[0]);
    const shown = this.columns.filter((field) =>
      field === this.score || (field.place && others.some((other) => other[field.place] !== row[field.place])));
    if (!others.length || !shown.length) return;
    sheet.append(make("h4", "", "The same for the others"));
    for (const other of others) {
      const facts = shown.filter((field) => field.form !== "text").map((field) =>
        field === this.score && other[field.place] === null ? "failed"
          : field.form === "name" ? written(field.form, other[field.place]) : `${field.title} ${written(field.form, other[field.place])}`);
      sheet.append(make("p", "other", facts.join(", ")));
      for (const field of shown) {
        if (field.form === "text" && !isMissing(other[field.place])) sheet.append(make("div", "quote", other[field.place]));
      }
    }
  }

  addLayers(sheet, layers) {
    const known = this.layers.map((title, place) => ({ title, place: place + 1 }))
      .filter(({ place }) => layers.some((layer) => layer[place] !== null));
    const table = this.small(sheet, "Layer by layer", ["layer", ...known.map(({ title }) => title)]);
    for (const layer of layers) {
      const line = table.insertRow();
      line.append(make("td", "", String(layer[0])));
      for (const { place } of known) {
        const value = layer[place];
        const cell = line.insertCell();
        if (value === null) { cell.textContent = "–"; continue; }
        const bar = make("span", "share");
        const filled = make("span");
        filled.style.width = `${100 * value}%`;
        bar.append(filled);
        cell.append(bar, forms.share(value));
      }
    }
  }

  small(sheet, title, heads) {
    const scroll = make("div", "scroll");
    const table = make("table", "layers");
    const head = table.createTHead().insertRow();
    for (const name of heads) {
      const cell = make("th", "", name);
      cell.scope = "col";
      head.append(cell);
    }
    scroll.append(table);
    sheet.append(make("h4", "", title), scroll);
    return table.createTBody();
  }
}

const explorers = [...document.querySelectorAll(".explorer")].map((root) => new Explorer(root));
