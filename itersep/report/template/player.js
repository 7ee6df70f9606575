"use strict";
(() => {
  const COLUMNS = 640, WINDOW_S = 0.032, TOP_DB = -28, RANGE_DB = 60, GAMMA = 1.3; // of spectrograms
  const STEP_S = 0.5, AHEAD_S = 0.02, FADE_S = 0.004;
  let context = null; // made by the first gesture: browsers allow no sound before
  let playing = null; // the one player that plays

  // ---- Audio: each signal is decoded once, when it is first heard or seen.

  const decoded = new WeakMap(); // track -> promise of its samples

  function decode(track, rate) {
    if (!decoded.has(track)) {
      const text = atob(track.querySelector("script").textContent);
      const bytes = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
      decoded.set(track, new OfflineAudioContext(1, 1, rate).decodeAudioData(bytes.buffer));
    }
    return decoded.get(track);
  }

  // ---- Spectrograms: black of an opacity that follows the level, so that a style sheet can turn it around.

  // Discrete Fourier transform in place, by halves; the length is a power of two.
  function transform(re, im) {
    const size = re.length;
    for (let i = 1, j = 0; i < size; i++) {
      let bit = size >> 1;
      for (; j & bit; bit >>= 1) j ^= bit;
      j ^= bit;
      if (i < j) [re[i], re[j]] = [re[j], re[i]];
    }
    for (let half = 1; half < size; half *= 2) {
      for (let k = 0; k < half; k++) {
        const c = Math.cos((-Math.PI * k) / half), s = Math.sin((-Math.PI * k) / half);
        for (let i = k; i < size; i += 2 * half) {
          const j = i + half, x = re[j] * c - im[j] * s, y = re[j] * s + im[j] * c;
          re[j] = re[i] - x; im[j] = im[i] - y;
          re[i] += x; im[i] += y;
        }
      }
    }
  }

  function drawSpectrogram(canvas, buffer) {
    const samples = buffer.getChannelData(0);
    const size = 2 ** Math.round(Math.log2(WINDOW_S * buffer.sampleRate)), bins = size / 2;
    const hann = Float64Array.from({ length: size }, (_, n) => 0.5 - 0.5 * Math.cos((2 * Math.PI * (n + 0.5)) / size));
    canvas.width = COLUMNS;
    canvas.height = bins;
    const image = new ImageData(COLUMNS, bins), re = new Float64Array(size), im = new Float64Array(size);
    for (let column = 0; column < COLUMNS; column++) {
      const start = Math.round(((column + 0.5) / COLUMNS) * samples.length) - bins;
      for (let n = 0; n < size; n++) re[n] = hann[n] * (samples[start + n] ?? 0);
      im.fill(0);
      transform(re, im);
      for (let bin = 0; bin < bins; bin++) {
        // A sine of full scale has 0 dB.
        const db = 10 * Math.log10((re[bin] ** 2 + im[bin] ** 2) * (4 / size) ** 2 + 1e-12);
        const level = Math.min(Math.max((db - TOP_DB) / RANGE_DB + 1, 0), 1);
        image.data[4 * ((bins - 1 - bin) * COLUMNS + column) + 3] = 255 * level ** GAMMA;
      }
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
  }

  // ---- Players

  class Player {
    constructor(root) {
      this.root = root;
      this.rate = Number(root.dataset.rate);
      this.duration = Number(root.dataset.duration);
      this.tracks = [...root.querySelectorAll(".track")];
      this.rows = [...root.querySelectorAll(".row")];
      this.experiments = [...new Set(this.tracks.map((track) => track.dataset.experiment))].filter(Boolean);
      this.state = { kind: "mix", experiment: this.experiments[0], iteration: root.dataset.iteration, speaker: "1" };
      this.position = 0; // in seconds, while it does not play
      this.origin = 0; // the place in time, while it plays: when, by the audio clock, position 0 was or would have been
      this.voice = null; // the source that sounds, and its gain
      this.wanted = 0; // counts what was asked for, so that what is decoded too late is dropped
      this.loop = false;
      this.chosen = this.find(this.state);
      this.listen();
      this.show();
      this.watch();
    }

    find({ kind, experiment, iteration, speaker }) {
      return this.tracks.find(({ dataset }) =>
        dataset.kind === kind
        && (kind === "mix" || dataset.speaker === speaker)
        && (kind !== "est" || (dataset.experiment === experiment && dataset.iteration === iteration)));
    }

    // -- what is heard

    get isPlaying() { return playing === this; }

    get now() {
      if (!this.isPlaying || !this.voice) return this.position;
      const heard = context.currentTime - (context.outputLatency || 0) - this.origin;
      return this.loop ? Math.max(heard, 0) % this.duration : Math.min(Math.max(heard, 0), this.duration);
    }

    async play() {
      if (playing !== this) playing?.pause();
      playing = this;
      context ??= new AudioContext();
      if (this.position >= this.duration) this.position = 0;
      this.show();
      if (context.state !== "running") await context.resume();
      await this.sound((at) => at - this.position);
      requestAnimationFrame(() => this.tick());
    }

    pause() {
      this.position = this.now;
      this.wanted += 1;
      this.silence(context.currentTime);
      playing = null;
      this.show();
    }

    toggle() { this.isPlaying ? this.pause() : this.play(); }

    seek(position) {
      this.position = Math.min(Math.max(position, 0), this.duration);
      if (this.isPlaying && this.voice) this.sound((at) => at - this.position);
      this.show();
    }

    // Let the chosen signal sound, in place of what sounds now. originAt: the origin, from the time when it begins.
    async sound(originAt) {
      const wanted = ++this.wanted;
      const buffer = await this.load(this.chosen);
      if (!buffer || wanted !== this.wanted || !this.isPlaying) return;
      const at = context.currentTime + AHEAD_S, gain = new GainNode(context, { gain: 0 });
      const source = new AudioBufferSourceNode(context, { buffer, loop: this.loop });
      this.silence(at);
      this.origin = originAt(at);
      const offset = at - this.origin;
      gain.gain.setTargetAtTime(1, at, FADE_S);
      source.connect(gain).connect(context.destination);
      source.start(at, this.loop ? offset % this.duration : Math.min(offset, this.duration));
      this.voice = { source, gain };
    }

    silence(at) {
      this.voice?.gain.gain.setTargetAtTime(0, at, FADE_S);
      this.voice?.source.stop(at + 10 * FADE_S);
      this.voice = null;
    }

    choose(changes) {
      const state = { ...this.state, ...changes }, track = this.find(state);
      if (!track) return;
      this.state = state;
      if (this.chosen !== track) {
        const held = this.chosen.contains(document.activeElement);
        this.chosen = track;
        if (this.isPlaying && this.voice) this.sound(() => this.origin);
        this.show();
        if (held) track.querySelector(".hear").focus({ preventScroll: true });
        this.root.querySelector("[role=status]").textContent = track.querySelector(".label").textContent;
      }
    }

    setLoop(loop) {
      if (this.isPlaying && this.voice) {
        const rounds = Math.floor((context.currentTime - this.origin) / this.duration);
        this.origin += Math.max(rounds, 0) * this.duration;
        this.voice.source.loop = loop;
      }
      this.loop = loop;
      this.show();
    }

    async load(track) {
      try {
        return await decode(track, this.rate);
      } catch {
        const problem = this.root.querySelector(".problem");
        problem.textContent = "This browser cannot play FLAC. Another one, or a newer one, can.";
        problem.hidden = false;
        return null;
      }
    }

    // -- what is seen

    tick() {
      if (!this.isPlaying) return;
      if (!this.loop && this.voice && this.now >= this.duration) {
        this.pause();
        return this.seek(0);
      }
      this.showPlace();
      requestAnimationFrame(() => this.tick());
    }

    showPlace() {
      const now = this.now, seek = this.root.querySelector(".seek");
      this.root.style.setProperty("--at", now / this.duration);
      this.root.querySelector(".now").textContent = now.toFixed(1);
      seek.value = now;
      seek.setAttribute("aria-valuetext", `${now.toFixed(1)} of ${this.duration.toFixed(1)} seconds`);
    }

    show() {
      const press = (button, on) => button.setAttribute("aria-pressed", String(on));
      const { kind, iteration, speaker } = this.state;
      this.root.classList.toggle("playing", this.isPlaying);
      this.root.querySelector(".play").setAttribute("aria-label", this.isPlaying ? "Pause" : "Play");
      press(this.root.querySelector(".loop"), this.loop);
      for (const b of this.root.querySelectorAll("[data-set-kind]")) press(b, b.dataset.setKind === kind);
      for (const b of this.root.querySelectorAll("[data-set-iteration]")) {
        press(b, kind === "est" && b.dataset.setIteration === iteration);
      }
      for (const b of this.root.querySelectorAll("[data-set-speaker]")) press(b, b.dataset.setSpeaker === speaker);
      for (const track of this.tracks) track.classList.toggle("chosen", track === this.chosen);
      // Of several experiments, one iteration is shown at a time.
      for (const row of this.rows) {
        row.hidden = "several" in this.root.dataset && row.matches(".est") && row.dataset.iteration !== iteration;
      }
      this.showPlace();
    }

    watch() {
      const observer = new IntersectionObserver(async (entries) => {
        for (const { target, isIntersecting } of entries) {
          if (!isIntersecting) continue;
          observer.unobserve(target);
          const buffer = await this.load(target);
          if (buffer) drawSpectrogram(target.querySelector("canvas"), buffer);
        }
      }, { rootMargin: "200px" });
      for (const track of this.tracks) observer.observe(track);
    }

    // -- what is asked for

    listen() {
      const on = (selector, event, action) => {
        for (const one of this.root.querySelectorAll(selector)) one.addEventListener(event, () => action(one));
      };
      on(".play", "click", () => this.toggle());
      on(".loop", "click", () => this.setLoop(!this.loop));
      on(".seek", "input", (seek) => this.seek(Number(seek.value)));
      on("[data-set-kind]", "click", (button) => this.choose({ kind: button.dataset.setKind }));
      on("[data-set-speaker]", "click", (button) => this.choose({ speaker: button.dataset.setSpeaker }));
      on("[data-set-iteration]", "click", (button) => {
        this.choose({ kind: "est", iteration: button.dataset.setIteration });
      });
      for (const track of this.tracks) {
        track.querySelector(".hear").addEventListener("click", () => this.hear(track));
        track.querySelector(".strip").addEventListener("click", (event) => {
          const box = event.currentTarget.getBoundingClientRect();
          this.choose(this.stateOf(track));
          this.seek(((event.clientX - box.left) / box.width) * this.duration);
        });
      }
      this.root.addEventListener("keydown", (event) => this.press(event));
      // The space bar plays and pauses, whatever has the focus; the enter key presses buttons.
      this.root.addEventListener("keyup", (event) => event.key === " " && event.preventDefault());
    }

    stateOf({ dataset: { kind, experiment, iteration, speaker } }) {
      if (kind === "mix") return { kind };
      return kind === "ref" ? { kind, speaker } : { kind, experiment, iteration, speaker };
    }

    hear(track) {
      if (track === this.chosen) return this.toggle();
      this.choose(this.stateOf(track));
      if (!this.isPlaying) this.play();
    }

    press(event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
      const next = (values, value) => values[(values.indexOf(value) + 1) % values.length];
      const speakers = [...this.root.querySelectorAll("[data-set-speaker]")].map((button) => button.dataset.setSpeaker);
      const actions = {
        " ": () => this.toggle(),
        ArrowLeft: () => this.seek(this.now - STEP_S),
        ArrowRight: () => this.seek(this.now + STEP_S),
        Home: () => this.seek(0),
        m: () => this.choose({ kind: "mix" }),
        r: () => this.choose({ kind: "ref" }),
        e: () => this.choose({ kind: "est" }),
        s: () => this.choose({ speaker: next(speakers, this.state.speaker) }),
        x: () => this.choose({ kind: "est", experiment: next(this.experiments, this.state.experiment) }),
        l: () => this.setLoop(!this.loop),
      };
      const action = /^[1-9]$/.test(key) ? () => this.choose({ kind: "est", iteration: key }) : actions[key];
      if (!action) return;
      event.preventDefault();
      action();
    }
  }

  for (const root of document.querySelectorAll(".player")) new Player(root);
})();
