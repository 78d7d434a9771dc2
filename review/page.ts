import json2md from "json2md";
import type { Action, ArgumentChange, Changes, ResourceChange } from "./changes";
import { concernsOf, describeConcern, named } from "./concerns";

/** How much of a value a page shows, in characters. */
const VALUE_LENGTH = 80;

/** How much of what two values have in common is shown before they differ, in characters. */
const CONTEXT = 20;

/** What each action is called, in the order in which a page counts them. */
const ACTIONS: Readonly<Record<Action, string>> = {
  create: "added",
  update: "changed in place",
  restart: "restarted",
  replace: "replaced",
  destroy: "destroyed",
  none: "without effect",
};

/** The page for a pull request, in Markdown. */
export function renderPage(changes: Changes): string {
  const { resources, copies, elsewhere } = changes;
  const concerns = concernsOf(changes);
  return json2md(
    [
      { h2: "What changes in the cluster" },
      { p: verdict(changes) },
      ...section(concerns.length > 0, "What to look at", [
        {
          ul: concerns.map(describeConcern),
        },
      ]),
      ...section(resources.length > 0, "Counts", [countTable(resources)]),
      ...section(copies.length > 0, "What is copied to whom", [
        {
          table: {
            headers: ["copy", "file", "change"],
            rows: copies.map(({ address, file, change }) => [code(address), code(file), change]),
          },
        },
      ]),
      ...section(elsewhere.length > 0, "Outside of resources", [argumentTable(elsewhere, false)]),
      ...section(resources.length > 0, "Resources", resources.flatMap(resourceBlocks)),
    ],
    "",
  );
}

/** One line that says it all. */
export function verdict(changes: Changes): string {
  const { resources, elsewhere } = changes;
  const concerns = concernsOf(changes);
  if (resources.length === 0 && elsewhere.length === 0) return "**Nothing changes.**";
  const counts = (Object.keys(ACTIONS) as Action[])
    .map((action) => ({ action, count: resources.filter((change) => change.action === action).length }))
    .filter(({ count }) => count > 0)
    .map(({ action, count }) => `${count} ${ACTIONS[action]}`);
  const summary = counts.length === 0 ? "no resource changes" : counts.join(", ");
  const look =
    concerns.length === 0 ? "Nothing that runs is touched" : `Look at: ${concerns.map(({ kind }) => kind).join(", ")}`;
  return `**${look}.** ${sentence(summary)}.`;
}

function section(wanted: boolean, title: string, blocks: json2md.DataObject[]): json2md.DataObject[] {
  return wanted ? [{ h3: title }, ...blocks] : [];
}

function countTable(resources: readonly ResourceChange[]): json2md.DataObject {
  const types = [...new Set(resources.map(({ address }) => typeOf(address)))].sort();
  const actions = (Object.keys(ACTIONS) as Action[]).filter((action) =>
    resources.some((change) => change.action === action),
  );
  const rows = types.map((type) => [
    code(type),
    ...actions.map((action) => {
      const count = resources.filter((change) => typeOf(change.address) === type && change.action === action).length;
      return count === 0 ? "" : String(count);
    }),
  ]);
  return { table: { headers: ["type", ...actions.map((action) => ACTIONS[action])], rows } };
}

function resourceBlocks({
  address,
  action,
  arguments: changed,
  because,
  renamedFrom,
}: ResourceChange): json2md.DataObject[] {
  const title = `${code(address)}: ${ACTIONS[action]}`;
  const why = because.length > 0 ? `, because of ${named(because)}` : "";
  const rename = renamedFrom === undefined ? "" : `, equal to ${code(renamedFrom)}, which goes`;
  return [{ p: `${title}${why}${rename}` }, ...(changed.length > 0 ? [argumentTable(changed, true)] : [])];
}

function argumentTable(changes: readonly ArgumentChange[], withEffect: boolean): json2md.DataObject {
  const rows = changes.map(({ path, before, after, action, note }) => [
    code(path),
    ...differing(before, after),
    [withEffect ? ACTIONS[action] : "", note].filter(Boolean).join("; "),
  ]);
  return { table: { headers: ["argument", "before", "after", "does"], rows } };
}

/** Two values as far as a cell shows them: what long ones begin with alike is left out. */
function differing(before: unknown, after: unknown): string[] {
  const [old, fresh] = [before, after].map((value) => {
    if (value === undefined) return "";
    return (typeof value === "string" ? value : JSON.stringify(value)).replaceAll("\n", "\\n");
  }) as [string, string];
  let alike = 0;
  while (alike < old.length && old[alike] === fresh[alike]) alike++;
  const from = Math.max(old.length, fresh.length) > VALUE_LENGTH ? Math.max(0, alike - CONTEXT) : 0;
  return [old, fresh].map((text) => {
    if (text === "") return "";
    const end = text.length > from + VALUE_LENGTH ? from + VALUE_LENGTH : text.length;
    return code(`${from > 0 ? "…" : ""}${text.slice(from, end)}${end < text.length ? "…" : ""}`);
  });
}

/** Text as code in a table's cell; more backticks than it has around it, and no bar that would end the cell. */
function code(text: string): string {
  const fence = "`".repeat(Math.max(0, ...(text.match(/`+/g) ?? []).map(({ length }) => length)) + 1);
  const pad = fence.length > 1 ? " " : "";
  return `${fence}${pad}${text.replaceAll("|", "\\|")}${pad}${fence}`;
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function typeOf(address: string): string {
  return address.split(".")[0] as string;
}
