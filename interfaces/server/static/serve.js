// What only this server's editor needs: our first workflow in place of the built-in one, and no panels of things
// that are not here.
import { app } from "/scripts/app.js";
import { api } from "/scripts/api.js";

const FIRST = "/workflow_templates/glidewire/text-to-image.json";

// Registered listeners keep the editor from calling these messages unknown; extensions may listen too.
for (const kind of ["glidewire_finished", "glidewire_warning"]) api.addEventListener(kind, () => {});

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
