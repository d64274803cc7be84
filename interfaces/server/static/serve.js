// What only this server's editor needs: our first workflow in place of the built-in one, and no panels of things
// that are not here.
import { app } from "/scripts/app.js";
import { api } from "/scripts/api.js";

const FIRST = "/workflow_templates/glidewire/text-to-image.json";

/** What is answered in place of services on the internet: a service that knows nothing. */
const NOTHING = "data:application/json,null";

const isElsewhere = (address) => {
  const { protocol, host } = new URL(address, location.href);
  return ["http:", "https:"].includes(protocol) && host !== location.host;
};

// The page's policy lets nothing leave this machine; these see to it that nothing tries.
const { fetch } = window;
window.fetch = (what, ...rest) => {
  const elsewhere = isElsewhere(what instanceof Request ? what.url : what);
  return elsewhere ? fetch.call(window, NOTHING) : fetch.call(window, what, ...rest);
};
const { open } = XMLHttpRequest.prototype;
XMLHttpRequest.prototype.open = function (method, address, ...rest) {
  const elsewhere = isElsewhere(address);
  return open.call(this, elsewhere ? "GET" : method, elsewhere ? NOTHING : address, ...rest);
};

// Registered listeners keep the editor from calling these messages unknown; extensions may listen too.
for (const kind of ["glidewire_finished", "glidewire_warning"]) api.addEventListener(kind, () => {});

// The server tells of more progress when the last was drawn: a slow page stays one that can be used.
const seen = () => api.socket?.readyState === WebSocket.OPEN && api.socket.send(JSON.stringify({ type: "glidewire_seen" }));
const soon = (act) => (document.hidden ? setTimeout(act, 1000) : requestAnimationFrame(() => setTimeout(act)));
for (const kind of ["status", "progress_state"]) api.addEventListener(kind, () => soon(seen));
document.addEventListener("visibilitychange", () => document.hidden && seen());

app.registerExtension({
  name: "glidewire.server",

  async setup() {
    for (const tab of ["model-library", "apps"]) {
      try {
        app.extensionManager.unregisterSidebarTab(tab);
      } catch {
        // This version of the editor has no such panel.
      }
    }
  },

  init() {
    const load = app.loadGraphData.bind(app);
    app.loadGraphData = async (graph, ...rest) => {
      if (graph) return load(graph, ...rest);
      const reply = await api.fetchApi(FIRST);
      return load(reply.ok ? await reply.json() : { nodes: [], links: [], version: 0.4 }, ...rest);
    };
  },
});
