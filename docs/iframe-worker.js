/* Pages opened from disk may start no worker: run the one of the search box in a frame that is not shown. */
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = Object.assign(document.createElement("iframe"), { hidden: true });
      document.body.appendChild(frame);
      const inside = frame.contentWindow;
      this.ready = new Promise((done) => {
        inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
        const script = Object.assign(inside.document.createElement("script"), { src: url, onload: () => done(inside) });
        inside.document.body.appendChild(script);
      });
    }
    postMessage(data) {
      this.ready.then((inside) => inside.dispatchEvent(new inside.MessageEvent("message", { data })));
    }
  };
}
