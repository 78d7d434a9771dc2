import { isDeepStrictEqual } from "node:util";
import { readDistributionScript, STAGING_SCRIPT } from "../model/distribution";
import { type NodeRole, roleOf } from "../model/names";
import { printable } from "../model/printable";
import { isObject, leafChanges, withoutKeys } from "./arguments";
import { ACTIONS, type Action, type ArgumentChange, asSecond, type Changes, type ResourceChange } from "./changes";
import { contentLines } from "./contents";
import { META } from "./effects";
import { type Finding, findingsOf } from "./findings";
import { restarts, versionChanges } from "./installation";
import { FINDINGS } from "./kinds";
import { otherFiles } from "./own-files";
import { CONTENT, readDistribution } from "./provisioners";
import { MOVEMENTS, movements, removals, waveSize } from "./rollout";
import { SENSITIVE } from "./secrets";
import { commandInWords } from "./steps";
import { withReadableTriggers } from "./triggers";

/** The largest number of characters of a value, and of a command that runs on a machine. */
const VALUE_LENGTH = 80;
const COMMAND_LENGTH = 2000;

/** The largest number of rows in a table. After the table, the page has the number of the other rows. */
const ROWS = 60;

/** The number of equal characters that a page shows before the first difference of two values. */
const CONTEXT = 20;

/** The words for each action. */
const ACTION_WORDS: Readonly<Record<Action, string>> = {
  create: "added",
  update: "changed in place",
  restart: "restarted",
  replace: "replaced",
  destroy: "destroyed",
  forget: "removed from the state",
  "clean-up": "cleaned up",
  none: "without effect",
};

/** The words for Terraform's reasons. */
const REASONS: Readonly<Record<string, string>> = {
  replace_because_tainted: "because an earlier apply did not finish it",
  replace_because_cannot_update: "because it cannot change in place",
  replace_by_request: "because of `-replace`",
  replace_by_triggers: "because of its `replace_triggered_by`",
  delete_because_no_resource_config: "because the configuration no longer declares it",
};

/** The largest number of resources whose list is open at first. A longer list is folded. */
const OPEN_RESOURCES = 12;

/** The largest length of a page in characters. A comment on GitHub may have 65536, and a picture may follow the page. */
const PAGE_LENGTH = 55_000;

/** The largest number of characters in a comment on GitHub, less room for a line that a workflow adds. */
const COMMENT_LENGTH = 65_000;

/** The parts of a page that do not come from the changes. */
export interface PageOptions {
  /** A Mermaid flowchart, which follows the page if both fit into a comment. @default - no picture */
  readonly picture?: string;
  /** The address of the folder in which the project's docs are, with a slash at the end. @default - links are relative */
  readonly project?: string;
}

/** The page for a pull request, in Markdown. It has the number of the rows and resources that do not fit into a comment. */
export function renderPage(changes: Changes, { picture, project }: PageOptions = {}): string {
  const { resources, copies, elsewhere } = changes;
  const findings = findingsOf(changes);
  const others = elsewhere.filter(({ path }) => !OUTPUT.test(path));
  const head = [
    "## Changes in the cluster",
    verdict(changes, findings),
    ...section(
      "Findings",
      findings.map((each) => ` - ${describeFinding(each, project)}`),
      "\n",
    ),
    ...section(
      "Before the deploy",
      removals(changes).map(({ role, command }, index) => ` ${index + 1}. ${code(command)}: ${REMOVALS[role]}`),
      "\n",
    ),
    ...section("Counts", resources.length === 0 ? [] : [countTable(changes)]),
    ...section(
      "Programs that restart",
      grouped(restarts(changes), ({ programs }) => programs.join()).map((group) => {
        const [{ role, programs }] = group;
        return ` - ${listAddresses(group.map(({ id }) => id))}: ${programs.map(code).join(", ")}${inOrder(role, group.length, changes)}`;
      }),
      "\n",
    ),
    ...section(
      "Drains and joins",
      grouped(movements(changes), ({ effect }) => effect).map((group) => {
        const [{ id, effect }] = group;
        const { text, isAtOnce } = MOVEMENTS[effect];
        const order = isAtOnce ? "" : inOrder(roleOf(id) ?? "worker", group.length, changes);
        return ` - ${listAddresses(group.map((each) => each.id))}: ${text}${order}`;
      }),
      "\n",
    ),
    ...section(
      "Versions",
      limitedTable(
        grouped(versionChanges(changes), ({ program, before, after }) => JSON.stringify([program, before, after])),
        (groups) =>
          table(
            ["machines", "program", "before", "after"],
            groups.map((group) => {
              const [{ program, before, after }] = group;
              const cells = [program, before, after].map((each) => (each === undefined ? "" : code(each)));
              return [listAddresses(group.map(({ id }) => id)), ...cells];
            }),
          ),
      ),
    ),
    ...section(
      "Copied files",
      limitedTable(
        grouped(copies, ({ file, change }) => JSON.stringify([file, change])),
        (groups) =>
          table(
            ["copy", "file", "change"],
            groups.map((group) => {
              const [{ file, change }] = group;
              return [listAddresses(group.map(({ address }) => address)), code(file), change];
            }),
          ),
      ),
    ),
    ...section(
      "Outside of resources",
      limitedTable(others, (rows) => argumentTable(rows, false)),
    ),
    ...folded("Outputs", outputLines(changes)),
  ].join("\n\n");
  const page =
    resources.length === 0 ? `${head}\n` : `${head}\n\n${resourceDetails(changes, PAGE_LENGTH - head.length)}\n`;
  if (picture === undefined) return page;
  const drawn = `${page}\n### The cluster\n\n\`\`\`mermaid\n${picture.trimEnd()}\n\`\`\`\n`;
  if (drawn.length <= COMMENT_LENGTH) return drawn;
  return `${page}\nThe picture of the cluster is too large for a comment: \`npm run diagram\` prints it.\n`;
}

/** The rows with equal keys, in the order of the first of each. */
function grouped<T>(rows: readonly T[], keyOf: (row: T) => string): (readonly [T, ...T[]])[] {
  const groups = new Map<string, [T, ...T[]]>();
  for (const row of rows) {
    const group = groups.get(keyOf(row));
    if (group === undefined) groups.set(keyOf(row), [row]);
    else group.push(row);
  }
  return [...groups.values()];
}

const OUTPUT = /^output\./;

/**
 * The parts of the list of outputs that change: the entries of each that are new, gone or different. Outputs of a second
 * cluster that differ only by its name are left out.
 */
function outputLines(changes: Changes): string[] {
  const rename = asSecond(changes);
  const lines = changes.elsewhere
    .filter(({ path }) => OUTPUT.test(path))
    .map((change) => ({ ...change, before: rename(change.before) }))
    .filter(({ before, after }) => before === SENSITIVE || !isDeepStrictEqual(before, after))
    // Whether a new output is sensitive is known from its value.
    .filter(({ path, before, after }) => !path.endsWith(".sensitive") || (before !== undefined && after !== undefined))
    .map((change) => ` - ${code(change.path.replace(OUTPUT, ""))}: ${outputChange(change)}`);
  return lines.length === 0 ? [] : [lines.slice(0, ROWS).join("\n"), ...omittedRows(lines)];
}

/** The change of an output in words, by its entries if it has some before and after. */
function outputChange({ before, after }: ArgumentChange): string {
  if (before === undefined) return `added, ${differing("", shown(after), VALUE_LENGTH)[1]}`;
  if (after === undefined) return "removed";
  if (before === SENSITIVE && after === SENSITIVE) return `changed, ${code(SENSITIVE)}`;
  if (!isObject(before) || !isObject(after)) return fromTo(before, after);
  const added = Object.keys(after).filter((key) => !Object.hasOwn(before, key));
  const removed = Object.keys(before).filter((key) => !Object.hasOwn(after, key));
  const changed = Object.keys(after)
    .filter((key) => Object.hasOwn(before, key))
    .flatMap((key) => leafChanges(key, before[key], after[key]))
    .filter((leaf) => !isDeepStrictEqual(leaf.before, leaf.after));
  const more = changed.length - NAMED_ADDRESSES;
  return [
    ...(added.length > 0 ? [`with ${listAddresses(added)}`] : []),
    ...(removed.length > 0 ? [`without ${listAddresses(removed)}`] : []),
    ...changed.slice(0, NAMED_ADDRESSES).map((leaf) => `${code(leaf.path)} ${fromTo(leaf.before, leaf.after)}`),
    ...(more > 0 ? [`and ${more} more`] : []),
  ].join(", ");
}

/** Two values, the first of which becomes the second. */
function fromTo(before: unknown, after: unknown): string {
  const [one = "", other = ""] = differing(shown(before), shown(after), VALUE_LENGTH);
  return `from ${one || "nothing"} to ${other || "nothing"}`;
}

/** The order in which machines of a role get a change, in words; empty for one machine. */
function inOrder(role: NodeRole, count: number, { after = new Map() }: Changes): string {
  if (count < 2) return "";
  const size = role === "master" ? 1 : waveSize(after);
  return size === 1 ? ", one machine after the other" : `, ${size} machines at a time`;
}

/** The effect of the command that removes a machine, in words. */
const REMOVALS: Readonly<Record<NodeRole, string>> = {
  master: "takes each out of etcd, and stops its control plane",
  worker: "moves the pods of each to other nodes, and deletes its Node",
};

/** The parts of a table that has at most {@link ROWS} rows, and the number of the other rows; none without rows. */
function limitedTable<T>(rows: readonly T[], draw: (rows: readonly T[]) => string): string[] {
  if (rows.length === 0) return [];
  return [draw(rows.slice(0, ROWS)), ...omittedRows(rows)];
}

/** The largest number of addresses in a line. After them, the line has the number of the other addresses. */
const NAMED_ADDRESSES = 6;

/** Addresses in one line, as Markdown, each with its detail. */
function listAddresses(addresses: readonly string[], details: Readonly<Record<string, string>> = {}): string {
  const some = addresses.slice(0, NAMED_ADDRESSES).map((address) => {
    return Object.hasOwn(details, address) ? `${code(address)} (${code(details[address] as string)})` : code(address);
  });
  const rest = addresses.length - some.length;
  return `${some.join(", ")}${rest > 0 ? ` and ${rest} more` : ""}`;
}

/** A finding in one line, as Markdown. @param project - as in {@link PageOptions} */
export function describeFinding({ kind, addresses, details = {}, notes = [] }: Finding, project = ""): string {
  const { docs, text: consequence } = FINDINGS[kind];
  const link = docs === undefined ? "" : ` ([${docs.replace(/#.*$/, "")}](${project}${docs}))`;
  const text = [`${consequence}${link}`, ...notes].join(". ");
  if (["downloads", "refused-upgrade", "upgrade"].includes(kind)) {
    const values = [...new Set(Object.values(details).flatMap((each) => each.split(", ")))];
    return `${values.map(code).join(", ")}: ${text}`;
  }
  return addresses.length === 0 ? sentence(text) : `${listAddresses(addresses, details)}: ${text}`;
}

/** The line with the number of rows that a table omits. */
function omittedRows(rows: readonly unknown[]): string[] {
  return rows.length > ROWS ? [`and ${rows.length - ROWS} more: \`--format json\` lists all`] : [];
}

/** The list of resources. It omits resources that do not fit into `room` characters. */
function resourceDetails(changes: Changes, room: number): string {
  const { resources } = changes;
  const blocks: string[] = [];
  for (const change of resources) {
    const block = resourceBlock(withReadableTriggers(withoutOwnFiles(change, changes)));
    room -= block.length + 2;
    if (room < 0) break;
    blocks.push(block);
  }
  const rest = resources.length - blocks.length;
  if (rest > 0) blocks.push(`and ${rest} more: \`--format json\` lists all`);
  const open = resources.length <= OPEN_RESOURCES ? " open" : "";
  return [`<details${open}><summary>Resources</summary>`, ...blocks, "</details>"].join("\n\n");
}

/** The parts of a section with a heading; none without content. */
function section(title: string, content: readonly string[], separator = "\n\n"): string[] {
  return content.length === 0 ? [] : [`### ${title}`, content.join(separator)];
}

/** The parts of a section that a reader opens; none without content. */
function folded(title: string, content: readonly string[]): string[] {
  return content.length === 0 ? [] : [`<details><summary>${title}</summary>`, ...content, "</details>"];
}

/** The summary in one line. */
function verdict({ resources, elsewhere }: Changes, findings: readonly Finding[]): string {
  if (resources.length + elsewhere.length + findings.length === 0) return "**Nothing changes.**";
  const counts = ACTIONS.map((action) => ({
    action,
    count: resources.filter((change) => change.action === action).length,
  }))
    .filter(({ count }) => count > 0)
    .map(({ action, count }) => `${count} ${ACTION_WORDS[action]}`);
  const summary = counts.length === 0 ? "no resource changes" : counts.join(", ");
  const kinds = findings.length === 0 ? "No findings" : `Findings: ${findings.map(({ kind }) => kind).join(", ")}`;
  return `**${kinds}.** ${sentence(summary)}.`;
}

/** The number of resources before and after, and of each action, for each type of which a resource changes. */
function countTable({ resources, counts }: Changes): string {
  const actions = ACTIONS.filter((action) => resources.some((change) => change.action === action));
  const types = new Set(resources.map(({ type }) => type));
  const rows = counts
    .filter(({ type }) => types.has(type))
    .map(({ type, before, after }) => [
      code(type),
      String(before),
      String(after),
      ...actions.map((action) => {
        const count = resources.filter((change) => change.type === type && change.action === action).length;
        return count === 0 ? "" : String(count);
      }),
    ]);
  return table(["type", "before", "after", ...actions.map((action) => ACTION_WORDS[action])], rows);
}

/**
 * A change without the contents of the files that a copy begins or ends to have, if all files of the copy are those of this
 * project.
 */
function withoutOwnFiles(change: ResourceChange, { before, after }: Changes): ResourceChange {
  const address = withoutKeys(change.address);
  const [one, other] = [before, after].map((configuration = new Map()) => {
    const files = readDistribution(configuration.get(address) ?? new Map())?.files ?? new Map();
    return { paths: [...files.keys()].join(), count: files.size, others: otherFiles(address, configuration).length };
  }) as [CopyOf, CopyOf];
  const isNew = change.action === "create" && readDistribution(after?.get(address) ?? new Map()) !== undefined;
  if (one.others + other.others > 0 || (one.paths === other.paths && !isNew)) return change;
  const text = ({ count }: CopyOf) => `${count} files and folders of this project`;
  return {
    ...change,
    settings: Object.fromEntries(
      Object.entries(change.settings)
        .filter(([path]) => !FIXED_ARGUMENTS.test(path))
        .map(([path, value]) => [path, path === CONTENT ? text(other) : value]),
    ),
    arguments: change.arguments.map((each) =>
      each.path === CONTENT ? { ...each, before: text(one), after: text(other) } : each,
    ),
  };
}

/** The files of a copy: their paths, their number, and the number of those that are not of this project. */
interface CopyOf {
  readonly paths: string;
  readonly count: number;
  readonly others: number;
}

/** The arguments of a copy that are the same in every copy. */
const FIXED_ARGUMENTS = /^provisioner\((first\)|.*\.destination$)/;

function resourceBlock(change: ResourceChange): string {
  const { address, action, arguments: changed, because, reason, imported, movedFrom, renamedFrom, settings } = change;
  const listed = Object.entries(settings).filter(
    ([path, value]) => PROVISIONER.test(path) || (!META.test(path) && isShown(value)),
  );
  const title = [
    `${code(address)}: ${ACTION_WORDS[action]}`,
    ...(action === "clean-up" ? ["left from an earlier replacement; the resource itself stays"] : []),
    ...(because.length > 0 ? [`because of ${listAddresses(because)}`] : []),
    ...(imported ? ["imported"] : []),
    ...(reason === undefined ? [] : [REASONS[reason] ?? code(reason)]),
    ...(movedFrom === undefined ? [] : [`moved from ${code(movedFrom)}`]),
    ...(renamedFrom === undefined ? [] : [`equal to ${code(renamedFrom)}, which is destroyed`]),
  ].join(", ");
  const values = listed.map(([path, value]) => `${code(path)} ${differing("", shown(value), lengthOf(path))[1]}`);
  return [
    title,
    ...(action === "create" && values.length > 0 ? [values.join(", ")] : []),
    ...(changed.length > 0 ? [argumentTable(changed, true)] : []),
  ].join("\n\n");
}

/** A reference to an attribute of a resource, and nothing else. */
const REFERENCE = /^\$\{(data\.)?\w+\.[\w-]+\.\w+\}$/;

/** Whether a page shows a value of a new resource: all that is not empty, except references. It shows other expressions. */
function isShown(value: unknown): boolean {
  if (value === null || ['""', "[]", "{}"].includes(JSON.stringify(value))) return false;
  return ![value].flat().every((each) => typeof each === "string" && REFERENCE.test(each));
}

function argumentTable(changes: readonly ArgumentChange[], withEffect: boolean): string {
  const rows = changes.map(({ path, before, after, action, note }) => [
    code(path),
    ...differing(shown(before), shown(after), lengthOf(path)),
    [withEffect ? ACTION_WORDS[action] : "", note].filter(Boolean).join("; "),
  ]);
  return table(["argument", "before", "after", "effect"], rows);
}

/** The arguments that run commands or write files on a machine. */
const PROVISIONER = /^provisioner/;

function lengthOf(path: string): number {
  return PROVISIONER.test(path) ? COMMAND_LENGTH : VALUE_LENGTH;
}

/** A value in the form that a page shows: a distribution script as its files and commands, a bundle as the lines of its files. */
function shown(value: unknown): unknown {
  if (typeof value === "string" && value.includes("\n")) {
    const lines = value.split("\n").filter((line) => line !== "" && !/^end [0-9a-f]{12}$/.test(line));
    return lines.flatMap(contentLines);
  }
  if (isDeepStrictEqual(value, STAGING_SCRIPT)) return "creates the staging folder";
  const script = Array.isArray(value) ? readDistributionScript(value) : undefined;
  if (script === undefined) return value;
  return [
    ...script.folders.map((path) => `0755 root ${path}/`),
    ...script.files.map(({ mode, owner, path }) => `${mode} ${owner} ${path}`),
    ...script.activate.map(commandInWords),
  ];
}

/** The lines that only the first of two lists has. Other values stay as they are. */
function onlyIn(value: unknown, other: unknown): unknown {
  const areLists = [value, other].every(
    (each) => Array.isArray(each) && each.every((line) => typeof line === "string"),
  );
  return areLists ? (value as string[]).filter((line) => !(other as string[]).includes(line)) : value;
}

/** The text of two values in cells. If a text is long, the common beginning is cut. */
function differing(before: unknown, after: unknown, length: number): string[] {
  const [removed, added] = [onlyIn(before, after), onlyIn(after, before)];
  const isReordered = [removed, added].every((each) => Array.isArray(each) && each.length === 0);
  const shown = isReordered ? [before, after] : [removed, added];
  const [textBefore, textAfter] = shown.map((value) => {
    if (value === undefined) return "";
    return printable(typeof value === "string" ? value : JSON.stringify(value));
  }) as [string, string];
  let equal = 0;
  while (equal < textBefore.length && textBefore[equal] === textAfter[equal]) equal++;
  const from = Math.max(textBefore.length, textAfter.length) > length ? Math.max(0, equal - CONTEXT) : 0;
  return [textBefore, textAfter].map((text) => {
    if (text === "") return "";
    const end = Math.min(from + length, text.length);
    return code(`${from > 0 ? "…" : ""}${text.slice(from, end)}${end < text.length ? "…" : ""}`);
  });
}

/** A table. Every bar in its cells is escaped. */
function table(headers: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(headers), line(headers.map((header) => "-".repeat(header.length))), ...rows.map(line)].join("\n");
}

/**
 * Text as code, between more backticks than it contains. It stays on one line, and cannot start an HTML comment: by such a
 * comment, the workflows find their pull request comment.
 */
function code(text: string): string {
  const safe = printable(text).replaceAll("<!--", "<\u2060!--");
  const fence = "`".repeat(Math.max(0, ...(safe.match(/`+/g) ?? []).map(({ length }) => length)) + 1);
  const pad = fence.length > 1 ? " " : "";
  return `${fence}${pad}${safe}${pad}${fence}`;
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
