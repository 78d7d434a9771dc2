import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { COMPONENTS } from "../kubernetes/machine";
import { liveFiles, nodeFiles } from "../model/layout";
import { UserError } from "../model/user-error";
import { synthesizeStack } from "../review/base";
import { renderDiagram } from "../review/diagram";
import { TUTORIAL } from "../settings/presets";
import { settingsJsonSchema } from "../settings/schema";
import { parseOptions, runProgram } from "./program";

const ROOT = join(__dirname, "..");

/** A JSON schema, as far as the settings' has it. */
interface Schema {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly allowed?: string;
  readonly properties?: Record<string, Schema>;
  readonly items?: Schema;
  readonly required?: readonly string[];
}

/** The picture in the README, after a comment that names the command which writes it. */
const PICTURE = /(?<=<!-- [^>]*npm run docs[^>]* -->\n```mermaid\n).*?(?=```)/s;

/** A table in a page, after a comment that names its source. */
const TABLE = /(?<=<!-- [^>]*npm run docs[^>]* -->\n\n)(\|[^\n]*\n)*/g;

/** The files that are generated, completely or in part: their content by their path from the project's folder. */
export async function generatedFiles(): Promise<Record<string, string>> {
  const picture = renderDiagram(await synthesizeStack(ROOT, "the working tree"));
  const schema = withDefaults(settingsJsonSchema() as Schema, TUTORIAL);
  return {
    "README.md": readOrEmpty(join(ROOT, "README.md")).replace(PICTURE, () => picture),
    "docs/certificates.md": withTables("docs/certificates.md", restartTable()),
    "docs/kubernetes.md": withTables("docs/kubernetes.md", programTable(), liveTable()),
    "docs/part-2.md": withTables("docs/part-2.md", placeTable()),
    "docs/settings.md": settingsPage(schema),
    "docs/settings.schema.json": `${JSON.stringify(forEditors(schema), null, 2)}\n`,
  };
}

/** A page with its generated tables, in their order on the page. */
function withTables(path: string, ...tables: readonly string[]): string {
  const rest = tables.values();
  return readOrEmpty(join(ROOT, path)).replace(TABLE, (before) => rest.next().value ?? before);
}

/** The files of a control plane machine and of a worker, each with the kind of machine. */
function filesByMachine<T>(
  filesOf: (node: Parameters<typeof nodeFiles>[0]) => readonly T[],
): (T & { readonly machine: string })[] {
  return [
    ...filesOf({ role: "master", name: "NAME-master-i" }).map((file) => ({ ...file, machine: "control plane" })),
    ...filesOf({ role: "worker", name: "NAME-worker-i" }).map((file) => ({ ...file, machine: "worker" })),
  ];
}

/** The programs to restart for each new file. */
function restartTable(): string {
  return table(
    ["machine", "new file", "restart"],
    filesByMachine(nodeFiles).map(({ machine, fileName, readBy }) => [
      machine,
      code(fileName),
      readBy.join(", ") || "nothing: a person uses it",
    ]),
  );
}

/** The place of each file, and the programs that read it there. */
function placeTable(): string {
  return table(
    ["machine", "file", "place", "read by"],
    filesByMachine(nodeFiles)
      .filter(({ places }) => places.length > 0)
      .map(({ machine, fileName, places, readBy }) => [
        machine,
        code(fileName),
        places.map(code).join(", "),
        readBy.join(", "),
      ]),
  );
}

/** The place of each file where the apply installs Kubernetes, and the users that can read it. */
function liveTable(): string {
  return table(
    ["machine", "file", "mode", "owner", "read by"],
    filesByMachine(liveFiles).map(({ machine, path, mode, owner, readBy }) => [
      machine,
      code(path),
      mode,
      owner,
      readBy.join(", ") || "the scripts of the apply",
    ]),
  );
}

/** The programs that run on the machines of a cluster with Kubernetes, with their users and ports. */
function programTable(): string {
  return table(
    ["machine", "unit", "user", "port", "for"],
    COMPONENTS.flatMap(({ name, role, user, ports }) =>
      (ports.length > 0 ? ports : [["", ""]]).map(([port = "", clients = ""], index) => [
        index > 0 ? "" : role === "master" ? "control plane" : "worker",
        index > 0 ? "" : code(name),
        index > 0 ? "" : user,
        port,
        clients,
      ]),
    ),
  );
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.map(cell).join(" | ")} |\n`).join("");
}

function code(text: string): string {
  return `\`${text}\``;
}

/** The paths of the generated files that are not up to date. */
export function staleFiles(files: Readonly<Record<string, string>>): string[] {
  return Object.entries(files)
    .filter(([path, content]) => readOrEmpty(join(ROOT, path)) !== content)
    .map(([path]) => path);
}

/** The schema of the settings that a person writes: only groups that the preset does not have require a setting. */
function withDefaults({ required, ...rest }: Schema, preset: unknown): Schema {
  const value = preset as Record<string, unknown> | undefined;
  const schema = { ...rest, ...(preset === undefined && required !== undefined && { required }) };
  if (schema.properties === undefined) return preset === undefined ? schema : { default: preset, ...schema };
  const properties = Object.entries(schema.properties).map(([key, inner]) => [key, withDefaults(inner, value?.[key])]);
  return { ...schema, properties: Object.fromEntries(properties) };
}

function settingsPage(schema: Schema): string {
  const rows = leaves(schema, "").map(
    ([name, { allowed, default: value, description }]) =>
      `| \`${name}\` | ${cell(allowed ?? "")} | ${value === undefined ? "" : `\`${cell(JSON.stringify(value))}\``} | ${cell(description ?? "")} |`,
  );
  return `<!-- Made from settings/schema.ts and settings/presets.ts by \`npm run docs\`; do not edit. -->

# Settings

Write settings in \`cdktf.json\`, under \`context.cluster\`. Or write them in a separate JSON file, and set the environment
variable \`CLUSTER_SETTINGS\` to its path, relative to the project's folder. The program then ignores the settings in
\`cdktf.json\`. All settings are optional, except \`kubernetes.version\` in its group; without any, you get the tutorial's
cluster. With a line such as \`"$schema": "./docs/settings.schema.json"\` (a path relative to the file), editors complete and
check a settings file.

| setting | must be | default | what it is |
|---|---|---|---|
${rows.join("\n")}

Synthesis also checks settings against each other. Networks must not overlap. Machines must fit into their subnets and have
different addresses, which must not be among the five that EC2 reserves in each subnet. Every worker needs a pod network. No
certificate may expire after the CA's certificate. The region must have the instance types, as far as this is known, and the
processor must fit the image. No tag key may equal another one after Unicode normalization. With \`kubernetes\`, machines need
an x86_64 processor, at least 2 GiB of memory, routed pods and an Ubuntu release with cgroup v2, and the service network needs a
tenth address. A settings file, \`cdktf.json\` and a file of checksums must not have a key twice in one object. Each problem is
printed in one line on stderr. The exit status is then 1, and nothing is written.

Synthesis prints a warning, and continues, if ssh is open to a large part of the internet, if a network is in public address
space, if the service network has no tenth address, if it is not known whether the region has t2, if the number of control
plane machines is even, if the cluster needs more routes or rules than AWS allows by default, and if machines download programs
or images over http without a file of checksums.
`;
}

/** Every setting that holds a value, with its path. */
function leaves(schema: Schema, path: string): [string, Schema][] {
  const inner = Object.entries(schema.properties ?? {})
    .filter(([key]) => key !== "$schema")
    .flatMap(([key, property]) => leaves(property, path === "" ? key : `${path}.${key}`));
  const ofElements = schema.items?.properties === undefined ? [] : leaves(schema.items, `${path}.N`);
  return schema.properties === undefined ? [[path, schema], ...ofElements] : inner;
}

/** The schema for editors: the allowed values are a part of the description, which editors show. */
function forEditors(schema: Schema): object {
  const { allowed, description, properties, items, ...rest } = schema;
  return {
    ...rest,
    ...(description !== undefined && { description }),
    ...(allowed !== undefined && { description: [description, `Must be ${allowed}.`].filter(Boolean).join(" ") }),
    ...(properties !== undefined && {
      properties: Object.fromEntries(Object.entries(properties).map(([key, inner]) => [key, forEditors(inner)])),
    }),
    ...(items !== undefined && { items: forEditors(items) }),
  };
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

const USAGE = `npm run docs [-- --check]    writes the generated pages

  --check    only report pages that are not up to date, with exit status 1`;

async function main(args: string[]): Promise<number> {
  const { values } = parseOptions(args, { check: { type: "boolean" } });
  const files = await generatedFiles();
  const stale = staleFiles(files);
  if (values.check && stale.length > 0) {
    throw new UserError(`not up to date: ${stale.join(", ")}; run \`npm run docs\``);
  }
  for (const path of stale) writeFileSync(join(ROOT, path), files[path] as string);
  return 0;
}

if (require.main === module) runProgram({ name: "docs", usage: USAGE, main });
