// SPDX-License-Identifier: Apache-2.0
// Views of one case side by side, in step: the same slice, zoom and place in every one. Volumes are drawn by NiiVue, or
// on a plain canvas where it is missing or there is no WebGL 2; pictures by the browser. See umed/report/case_view.py
// for what it is given. Nothing is loaded unless an element names an address in data-viewer-src.
(() => {
  "use strict";
  const SOFTWARE = /swiftshader|llvmpipe|softpipe|software|basic render/i;
  const MOST_ZOOM = 16, STEP = 1.25;
  const WARM = [255, 122, 24], COOL = [36, 138, 255], NEUTRAL = [24, 26, 31]; // as in umed/report/pictures.py
  const SLICE_BY = [2, 1, 0]; // the axis that each plane is cut along
  let webgl = null, shared = null;

  const make = (name, attributes = {}, ...children) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  };
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
  const hasWebGL = () => { // not in software: there NiiVue takes half a minute to start, and a canvas is as good
    if (webgl === null) {
      const context = window.niivue ? document.createElement("canvas").getContext("webgl2") : null;
      const told = context?.getExtension("WEBGL_debug_renderer_info")?.UNMASKED_RENDERER_WEBGL;
      const by = context ? String(context.getParameter(told || context.RENDERER)) : "";
      webgl = context !== null && (Boolean(window.umedViewerSoftware) || !SOFTWARE.test(by));
      context?.getExtension("WEBGL_lose_context")?.loseContext();
    }
    return webgl;
  };

  async function unpack(text) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  // Panels as bytes, first axis fastest. One with "base" holds what must be added to that panel, modulo 256.
  async function unpackVolume(payload) {
    const arrays = [];
    for (const panel of payload.panels) {
      const bytes = panel.same === undefined ? await unpack(panel.data) : arrays[panel.same];
      if (panel.base !== undefined) arrays[panel.base].forEach((value, i) => { bytes[i] += value; });
      arrays.push(bytes);
    }
    const moved = payload.panels.map((panel) => panel.kind === "difference" && payload.channels === 1);
    return { ...payload, arrays, moved, regions: payload.regions ? await unpack(payload.regions) : null };
  }

  // Axes across and down a plane. The first runs to the right, the second down, the third up.
  const planeAxes = (plane) => [[0, 1], [0, 2], [1, 2]][plane];
  const planeSize = (volume, plane) => planeAxes(plane).map((axis) => volume.size[axis]);
  const planeShape = (volume, plane) => planeAxes(plane).map((axis) => volume.size[axis] * volume.spacing[axis]);

  // Calls visit(index in the volume, column, row) for every voxel of a slice as it is seen.
  function walk(volume, plane, slice, visit) {
    const [across, down] = planeAxes(plane), step = [1, volume.size[0], volume.size[0] * volume.size[1]];
    const [width, height] = planeSize(volume, plane), start = slice * step[SLICE_BY[plane]];
    for (let row = 0; row < height; row++) {
      const at = start + step[down] * (down === 2 ? height - 1 - row : row);
      for (let column = 0; column < width; column++) visit(at + step[across] * column, column, row);
    }
  }

  const mix = (share, other) => NEUTRAL.map((value, i) => value + (other[i] - value) * share);
  const shade = (value) => value < 128 ? mix((128 - value) / 128, COOL) : mix((value - 128) / 127, WARM);
  const SHADES = Array.from({ length: 256 }, (_, value) => shade(value));

  // Where the slice lies in a view of some size: a rectangle in its pixels.
  const place = (view, width, height) => ({
    left: width / 2 - view.x * width * view.zoom, top: height / 2 - view.y * height * view.zoom,
    width: width * view.zoom, height: height * view.zoom,
  });

  function fit(canvas) { // pixels of a canvas as many as those of the screen under it
    const scale = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((side) => Math.max(1, Math.round(side * scale)));
    if (canvas.width !== width) canvas.width = width;
    if (canvas.height !== height) canvas.height = height;
  }

  // One slice of one panel on a canvas, voxel by voxel: without WebGL 2, or where it is done in software.
  class CanvasPainter {
    constructor(volume) { Object.assign(this, { volume, name: "canvas", sheet: document.createElement("canvas") }); }
    paint(canvas, number, view) {
      const { volume, sheet } = this, values = volume.arrays[number], colours = volume.channels;
      [sheet.width, sheet.height] = planeSize(volume, view.plane);
      const context = sheet.getContext("2d"), image = context.createImageData(sheet.width, sheet.height);
      walk(volume, view.plane, view.slice, (index, column, row) => {
        const at = 4 * (row * sheet.width + column);
        image.data.set(volume.moved[number] ? SHADES[values[index]] : [0, 1, 2].map((i) => values[index * colours + i % colours]), at);
        image.data[at + 3] = 255;
      });
      context.putImageData(image, 0, 0);
      const screen = canvas.getContext("2d"), to = place(view, canvas.width, canvas.height);
      screen.imageSmoothingEnabled = false;
      screen.clearRect(0, 0, canvas.width, canvas.height);
      screen.drawImage(sheet, to.left, to.top, to.width, to.height);
    }
  }

  // All panels beside each other along the first axis, in colour, as a NIfTI-1 file; the second axis runs down.
  function nifti(volume) {
    const [a, b, c] = volume.size, [da, db, dc] = volume.spacing, count = volume.arrays.length, wide = a * count;
    const bytes = new Uint8Array(352 + 3 * wide * b * c), head = new DataView(bytes.buffer), colours = volume.channels;
    head.setInt32(0, 348, true);
    [3, wide, b, c, 1, 1, 1, 1].forEach((value, i) => head.setInt16(40 + 2 * i, value, true));
    head.setInt16(70, 128, true); // RGB
    head.setInt16(72, 24, true);
    [1, da, db, dc, 1, 1, 1, 1].forEach((value, i) => head.setFloat32(76 + 4 * i, value, true));
    head.setFloat32(108, 352, true);
    head.setFloat32(112, 1, true);
    head.setInt16(254, 1, true);
    [da, 0, 0, 0, 0, -db, 0, db * (b - 1), 0, 0, dc, 0].forEach((value, i) => head.setFloat32(280 + 4 * i, value, true));
    [110, 43, 49].forEach((value, i) => head.setUint8(344 + i, value)); // n+1
    volume.arrays.forEach((values, number) => {
      for (let line = 0; line < b * c; line++) {
        let at = 352 + 3 * (line * wide + number * a);
        for (let index = line * a; index < (line + 1) * a; index++) {
          for (let i = 0; i < 3; i++) bytes[at++] = volume.moved[number] ? SHADES[values[index]][i] : values[index * colours + i % colours];
        }
      }
    });
    return bytes.buffer;
  }

  // The same by NiiVue. A page has one, out of sight, and copies what it draws: browsers allow few contexts of WebGL.
  class NiivuePainter {
    static async open(volume) {
      const made = new NiivuePainter();
      Object.assign(made, { volume, name: "niivue" });
      shared ||= NiivuePainter.start();
      const { nv } = await shared;
      if (Math.max(volume.size[0] * volume.arrays.length, ...volume.size) > nv.uiData.max3D) throw new Error("too large for a texture");
      made.image = await niivue.NVImage.loadFromUrl({ url: "case.nii", buffer: nifti(volume), name: "case.nii", cal_min: 0, cal_max: 255, colorbarVisible: false });
      made.shared = await shared;
      return made;
    }
    static async start() {
      const canvas = document.createElement("canvas");
      make("div", {}, canvas); // NiiVue colours what its canvas lies in
      const nv = new niivue.Niivue({
        interactive: false, dragAndDropEnabled: false, crosshairWidth: 0, isOrientationTextVisible: false, logLevel: "silent",
        isResizeCanvas: false, isNearestInterpolation: true, loadingText: "", backColor: [0, 0, 0, 1], sagittalNoseLeft: true,
      });
      await nv.attachToCanvas(canvas, false);
      return { nv, canvas, image: null };
    }
    paint(canvas, number, view) {
      const { volume, shared: { nv, canvas: source } } = this, count = volume.arrays.length, cut = SLICE_BY[view.plane];
      if (this.shared.image !== this.image) {
        if (this.shared.image) nv.removeVolume(this.shared.image);
        nv.addVolume(this.image);
        this.shared.image = this.image;
      }
      if (source.width !== canvas.width) source.width = canvas.width;
      if (source.height !== canvas.height) source.height = canvas.height;
      nv.opts.sliceType = [niivue.SLICE_TYPE.AXIAL, niivue.SLICE_TYPE.CORONAL, niivue.SLICE_TYPE.SAGITTAL][view.plane];
      const share = (view.slice + 0.5) / volume.size[cut], at = [0.5, 0.5, 0.5];
      at[cut] = cut === 0 ? (number + share) / count : cut === 1 ? 1 - share : share;
      nv.scene.crosshairPos = at;
      const { mnMM: low, mxMM: high } = nv.screenFieldOfViewExtendedVox(nv.opts.sliceType), beside = cut === 0 ? 1 : count;
      const x = cut === 0 ? 1 - view.x : (number + view.x) / count; // across the first cut, the second axis is turned
      const zoom = view.zoom * beside, centre = [low[0] + x * (high[0] - low[0]), high[1] - view.y * (high[1] - low[1])];
      const [h, v] = centre.map((value, i) => (low[i] + high[i]) / 2 - zoom * value);
      nv.scene.pan2Dxyzmm = [[h, v, 0, zoom], [h, 0, v, zoom], [0, h, v, zoom]][view.plane];
      nv.drawScene();
      const screen = canvas.getContext("2d");
      screen.clearRect(0, 0, canvas.width, canvas.height);
      screen.drawImage(source, 0, 0);
    }
  }

  // Borders of what is labelled, and of where anything may change, along the edges of voxels.
  function drawOutlines(canvas, volume, view, shown) {
    fit(canvas);
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (!shown || !volume.regions) return;
    const [width, height] = planeSize(volume, view.plane), to = place(view, canvas.width, canvas.height);
    const found = new Uint8Array(width * height);
    walk(volume, view.plane, view.slice, (index, column, row) => { found[row * width + column] = volume.regions[index]; });
    const x = (column) => to.left + to.width * column / width, y = (row) => to.top + to.height * row / height;
    const style = getComputedStyle(canvas);
    for (const [name, of] of [["--support", (value) => value > 0], ["--contour", (value) => value > 1 ? value : 0]]) {
      context.strokeStyle = style.getPropertyValue(name) || "#ffd23f";
      context.lineWidth = 1.4 * (window.devicePixelRatio || 1);
      context.beginPath();
      for (let row = 0; row < height; row++) for (let column = 0; column < width; column++) {
        const at = row * width + column, value = of(found[at]);
        if (column && of(found[at - 1]) !== value) { context.moveTo(x(column), y(row)); context.lineTo(x(column), y(row + 1)); }
        if (row && of(found[at - width]) !== value) { context.moveTo(x(column), y(row)); context.lineTo(x(column + 1), y(row)); }
      }
      context.stroke();
    }
  }

  class VolumeScreen { // all panels of a volume
    static async open(tiles, payload) {
      const made = new VolumeScreen(), volume = await unpackVolume(payload);
      Object.assign(made, { tiles, volume, shown: true });
      made.painter = hasWebGL() ? await NiivuePainter.open(volume).catch((error) => { console.warn(`viewer: ${error}`); }) : null;
      made.painter ||= new CanvasPainter(volume);
      made.panels = tiles.map((tile) => [0, 1].map(() => tile.appendChild(make("canvas", { "aria-hidden": "true" }))));
      return made;
    }
    get name() { return this.painter.name; }
    draw(view) {
      const [width, height] = planeShape(this.volume, view.plane);
      this.tiles.forEach((tile) => { tile.style.aspectRatio = `${width} / ${height}`; });
      this.panels.forEach(([canvas, lines], number) => {
        fit(canvas);
        this.painter.paint(canvas, number, view);
        drawOutlines(lines, this.volume, view, this.shown || this.volume.panels[number].outlined);
      });
    }
  }

  class PictureScreen { // all panels of a picture: what the page shows anyhow, moved and enlarged
    constructor(tiles) {
      this.name = "picture";
      this.sheets = tiles.map((tile) => {
        const sheet = make("div", { class: "sheet" });
        sheet.append(...tile.childNodes);
        tile.append(sheet);
        return sheet;
      });
    }
    draw(view) {
      for (const sheet of this.sheets) {
        const shift = [view.x, view.y].map((centre) => `${100 * (0.5 - centre * view.zoom)}%`);
        sheet.style.transform = `translate(${shift.join(", ")}) scale(${view.zoom})`;
      }
    }
  }

  class CaseViewer { // what one case shows, and its controls
    constructor(element, payload, tiles, screen) {
      Object.assign(this, { element, payload, tiles, screen });
      this.volume = screen.volume || null;
      this.view = { plane: 0, slice: this.volume ? this.volume.start : 0, zoom: 1, x: 0.5, y: 0.5 };
      this.addControls();
      tiles.forEach((tile) => this.listen(tile));
      if (this.volume) new ResizeObserver(() => this.later()).observe(element);
      this.draw();
    }
    get drawer() { return this.screen.name; }
    get slices() { return this.volume ? this.volume.size[SLICE_BY[this.view.plane]] : 1; }
    addControls() {
      const title = this.payload.title || "case", bar = make("div", { class: "controls", role: "group", "aria-label": `view of ${title}` });
      if (this.volume) {
        this.slider = make("input", { type: "range", min: 0, step: 1, "aria-label": "slice" });
        this.slider.addEventListener("input", () => this.change({ slice: Number(this.slider.value) }));
        bar.append(make("label", { class: "wide" }, "slice ", this.slider));
        const names = SLICE_BY.map((axis, i) => make("option", { value: i }, `along axis ${this.volume.axes[axis]}`));
        const planes = make("select", { "aria-label": "direction of the slices" }, ...names);
        planes.addEventListener("change", () => this.turn(Number(planes.value)));
        bar.append(planes);
      }
      this.zoom = make("input", { type: "range", min: 0, max: 1, step: "any", "aria-label": "zoom" });
      this.zoom.addEventListener("input", () => this.change({ zoom: MOST_ZOOM ** Number(this.zoom.value) }));
      const reset = make("button", { type: "button" }, "whole picture");
      reset.addEventListener("click", () => this.change({ zoom: 1, x: 0.5, y: 0.5 }));
      bar.append(make("label", {}, "zoom ", this.zoom), reset);
      this.say = make("output", { class: "quiet", "aria-live": "polite" });
      bar.append(this.say);
      this.element.before(bar);
      this.element.tabIndex = 0;
      this.element.setAttribute("role", "group");
      this.element.setAttribute("aria-label", `${title}: arrow keys move, plus and minus zoom, page up and page down change the slice`);
      this.element.addEventListener("keydown", (event) => this.key(event));
    }
    key(event) {
      const { view } = this, by = 0.1 / view.zoom;
      const moves = {
        ArrowLeft: { x: view.x - by }, ArrowRight: { x: view.x + by }, ArrowUp: { y: view.y - by }, ArrowDown: { y: view.y + by },
        "+": { zoom: view.zoom * STEP }, "=": { zoom: view.zoom * STEP }, "-": { zoom: view.zoom / STEP }, 0: { zoom: 1, x: 0.5, y: 0.5 },
        ...(this.volume ? { PageUp: { slice: view.slice + 1 }, PageDown: { slice: view.slice - 1 } } : {}),
      };
      const still = event.ctrlKey || event.metaKey || event.altKey || event.target !== this.element;
      if (still || !(event.key in moves) || (event.key.startsWith("Arrow") && view.zoom === 1)) return;
      event.preventDefault();
      this.change(moves[event.key]);
    }
    listen(tile) {
      let from = null;
      tile.addEventListener("pointerdown", (event) => {
        if (event.button || this.view.zoom === 1) return; // nothing to move: a finger scrolls the page
        from = { x: event.clientX, y: event.clientY, view: { ...this.view } };
        tile.setPointerCapture(event.pointerId);
        event.preventDefault();
      });
      tile.addEventListener("pointermove", (event) => {
        if (!from) return;
        const size = tile.getBoundingClientRect(), { view } = from;
        this.change({
          x: view.x - (event.clientX - from.x) / size.width / view.zoom, y: view.y - (event.clientY - from.y) / size.height / view.zoom,
        });
      });
      for (const name of ["pointerup", "pointercancel"]) tile.addEventListener(name, () => { from = null; });
      tile.addEventListener("dblclick", (event) => this.zoomAt(tile, event, 2));
      tile.addEventListener("wheel", (event) => {
        if (!event.ctrlKey) return; // the plain wheel scrolls the page
        event.preventDefault();
        this.zoomAt(tile, event, event.deltaY < 0 ? STEP : 1 / STEP);
      }, { passive: false });
    }
    zoomAt(tile, event, factor) { // what lies under the pointer stays there
      const size = tile.getBoundingClientRect(), { view } = this, zoom = clamp(view.zoom * factor, 1, MOST_ZOOM);
      const off = [(event.clientX - size.left) / size.width - 0.5, (event.clientY - size.top) / size.height - 0.5];
      this.change({ zoom, x: view.x + off[0] / view.zoom - off[0] / zoom, y: view.y + off[1] / view.zoom - off[1] / zoom });
    }
    turn(plane) {
      this.view.plane = plane;
      const middle = plane === 0 ? this.volume.start : this.volume.focus[SLICE_BY[plane]];
      this.change({ slice: middle, zoom: 1, x: 0.5, y: 0.5 });
    }
    change(what) {
      const view = Object.assign(this.view, what), half = 0.5 / (view.zoom = clamp(view.zoom, 1, MOST_ZOOM));
      view.x = clamp(view.x, half, 1 - half);
      view.y = clamp(view.y, half, 1 - half);
      view.slice = clamp(Math.round(view.slice), 0, this.slices - 1);
      this.later();
    }
    later() { // one drawing a frame, however fast the slider moves
      if (!this.waiting) this.waiting = requestAnimationFrame(() => { this.waiting = 0; this.draw(); });
    }
    draw() {
      const { view, volume } = this, words = [];
      if (volume) {
        const axis = SLICE_BY[view.plane], slice = `slice ${view.slice + volume.first[axis] + 1} of ${volume.whole[axis]}`;
        this.slider.max = this.slices - 1;
        this.slider.value = view.slice;
        this.slider.setAttribute("aria-valuetext", slice);
        words.push(slice);
      }
      this.zoom.value = Math.log(view.zoom) / Math.log(MOST_ZOOM);
      this.zoom.setAttribute("aria-valuetext", `${view.zoom.toFixed(1)} times`);
      this.say.textContent = [...words, `× ${view.zoom.toFixed(1)}`].join(", ");
      this.element.classList.toggle("moved", view.zoom > 1);
      this.screen.draw(view);
    }
    outline(shown) {
      this.screen.shown = shown;
      this.later();
    }
  }

  async function mount(element) {
    const named = document.getElementById(element.dataset.viewer || "");
    const address = element.dataset.viewerSrc;
    const answer = address ? await fetch(address, { credentials: "same-origin" }) : null;
    if (answer && !answer.ok) throw new Error(`viewer: ${address}: expected a case, got ${answer.status}`);
    const payload = answer ? await answer.json() : JSON.parse(named.textContent);
    let tiles = [...element.querySelectorAll(".tile")];
    if (!tiles.length) { // the page leaves it to the script
      element.append(...payload.panels.map((panel) => make("figure", {}, make("div", { class: "tile" }), make("figcaption", {}, panel.name))));
      tiles = [...element.querySelectorAll(".tile")];
      if (payload.kind === "picture") tiles.forEach((tile, i) => tile.append(make("img", { src: payload.panels[i].src, alt: payload.panels[i].name })));
    }
    if (tiles.length !== payload.panels.length) throw new Error(`viewer: expected ${payload.panels.length} views, found ${tiles.length}`);
    try {
      const screen = payload.kind === "volume" ? await VolumeScreen.open(tiles, payload) : new PictureScreen(tiles);
      if (payload.kind === "volume") tiles.forEach((tile) => tile.classList.add("live"));
      const viewer = new CaseViewer(element, payload, tiles, screen);
      element.umedViewer = viewer;
      const toggle = document.querySelector("input[data-outlines]");
      if (toggle) {
        viewer.outline(toggle.checked);
        toggle.addEventListener("change", () => viewer.outline(toggle.checked));
      }
      element.dispatchEvent(new CustomEvent("umed-viewer", { bubbles: true }));
    } catch (error) { // the pictures of the page stay
      tiles.forEach((tile) => { tile.classList.remove("live"); tile.querySelectorAll("canvas").forEach((one) => one.remove()); });
      element.dataset.viewerFailed = String(error);
    }
  }

  // Views open when they come near the screen, so that a page of many cases opens at once.
  const near = new IntersectionObserver((entries) => entries.forEach((entry) => {
    if (!entry.isIntersecting) return;
    near.unobserve(entry.target);
    mount(entry.target).catch((error) => { entry.target.dataset.viewerFailed = String(error); });
  }), { rootMargin: "400px" });
  const scan = (root = document) => root.querySelectorAll("[data-viewer], [data-viewer-src]").forEach((element) => {
    if (!element.dataset.viewerSeen) {
      element.dataset.viewerSeen = "yes";
      near.observe(element);
    }
  });
  window.umedViewer = { scan };
  scan();
})();
