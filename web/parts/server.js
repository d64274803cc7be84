// What the extension asks of the server.
import { api } from "../../../scripts/api.js";

/** A refusal in words, as the server gives it. */
export class Refused extends Error {}

async function answer(path, options) {
  const reply = await api.fetchApi(`/glidewire${path}`, options);
  const told = await reply.json().catch(() => ({}));
  if (reply.ok) return told;
  const { message = `the server answered ${reply.status}`, details = "" } = told.error ?? {};
  throw new Refused(details ? `${message}: ${details}` : message);
}

const ask = (path, question) =>
  answer(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(question),
  });

const query = (types) => `?types=${encodeURIComponent(types.join(","))}`;

/** Problems, dims and marks of a graph: {prompt, workflow: {id}}. */
export const state = (question) => ask("/state", question);

/** Where a wire cannot go: {prompt, node, output} to problems by "node input". */
export const misfits = async (question) => ask("/misfits", question);

/** The graph as Python source, and as the command that runs it: {prompt, name} to a text. */
export const python = async (question) => (await ask("/python", question)).text;
export const command = async (question) => (await ask("/command", question)).text;

/** A result: what it is, its tensors with their histograms, and its views. */
export const value = (key, slot, types) => answer(`/values/${key}/${slot}${query(types)}`);

/** Where the picture of a view is. */
export const viewAddress = (key, slot, types, index) =>
  api.apiURL(`/glidewire/values/${key}/${slot}/views/${index}${query(types)}`);

/** The steps that a node left: a list of walks, each a list of {facts, pictures} or null. */
export const steps = async (key) => (await answer(`/steps/${key}`)).walks;

/** Where the picture of a step is. */
export const stepAddress = (key, walk, index, name) =>
  api.apiURL(`/glidewire/steps/${key}/${walk}/${index}/${encodeURIComponent(name)}`);

export { api };
