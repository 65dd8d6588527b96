// A page opened from a disk (file://) may start no worker, and the search is one: its script runs in a hidden frame there.
// The name keeps the offline plugin from adding a script of the same purpose that is fetched from the network.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      this.scope = frame.contentWindow;
      this.scope.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      this.scope.document.open();
      this.ready = new Promise((resolve) => this.scope.addEventListener("load", resolve));
      this.scope.document.write(`<script src="${url}"></scr` + "ipt>");
      this.scope.document.close();
    }

    postMessage(data) {
      this.ready.then(() => this.scope.dispatchEvent(new MessageEvent("message", { data })));
    }
  };
}
