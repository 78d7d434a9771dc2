/**
 * `npm run credentials`: what part 2 needs of the deployed cluster, as files; `npm run credentials -- check` verifies them.
 * Exit status: 0; 1 where something is wrong with what is checked; 2 where it cannot be said or written.
 */
import { parseArgs } from "node:util";
import { checkFolder, type Finding } from "../credentials/check";
import { credentialFiles, describedCluster, ENCRYPTION_CONFIG } from "../credentials/files";
import { writeFolder } from "../credentials/folder";
import { checkNodes } from "../credentials/nodes";
import { CredentialsError, findStack, readStack } from "../credentials/stack";

/** How many days a certificate must be good for where nothing is said: time to renew it in. */
const DAYS = 14;

const USAGE = `npm run credentials [-- options]            writes what part 2 needs of the deployed cluster
npm run credentials -- check [options]      verifies it

  --out DIR       the folder, else the cluster's name
  --from DIR      what synthesis wrote, else cdktf.out
  --stack NAME    which stack of it, else the only one
  --replace       another authority's files may go
of check:
  --nodes         what lies on the machines, too
  --days N        a certificate must be good for so many days more, else ${DAYS}
  --json          for programs`;

const TEXT = { type: "string" } as const;
const FLAG = { type: "boolean" } as const;

const OPTIONS = {
  out: TEXT,
  from: TEXT,
  stack: TEXT,
  replace: FLAG,
  nodes: FLAG,
  days: TEXT,
  json: FLAG,
  help: FLAG,
} as const;

/** Which options each command takes. */
const COMMANDS = new Map([
  ["write", ["out", "from", "stack", "replace"]],
  ["check", ["out", "from", "stack", "nodes", "days", "json"]],
]);

async function main(): Promise<number> {
  const { positionals, values } = options();
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const [command = "write", ...rest] = positionals;
  const takes = COMMANDS.get(command);
  if (takes === undefined || rest.length > 0) {
    throw new CredentialsError(`the command must be check, or none, got: ${positionals.join(" ")}`);
  }
  const foreign = Object.keys(values).find((option) => !takes.includes(option));
  if (foreign !== undefined) {
    throw new CredentialsError(
      `'--${foreign}' goes ${command === "check" ? "without" : "with"} check; allowed: ${named(takes)}`,
    );
  }
  if (values.out === "") throw new CredentialsError("'--out' must be a folder, got nothing");
  return command === "check" ? check(values) : write(values);
}

type Options = ReturnType<typeof options>["values"];

function write({ out, from = "cdktf.out", stack, replace = false }: Options): number {
  const { cluster, warnings } = readStack(from, stack);
  for (const warning of warnings) console.error(`credentials: warning: ${warning}`);
  const folder = out ?? cluster.name;
  const { written, unchanged, kept, removed, others } = writeFolder(folder, credentialFiles(cluster), replace);
  if (kept !== undefined) {
    const where = kept === ENCRYPTION_CONFIG ? "it stays as it is" : `it is ${kept} now`;
    console.error(
      `credentials: warning: ${ENCRYPTION_CONFIG} may have a key that the state has not: ${where} (docs/certificates.md)`,
    );
  }
  if (others.length > 0) console.error(`credentials: left alone, not of this cluster: ${others.join(", ")}`);
  const gone = removed.length === 0 ? "" : `, ${removed.length} removed, which the cluster no longer has`;
  console.log(`${folder}: ${counted(written.length, "file")} written, ${unchanged} unchanged${gone}`);
  return 0;
}

async function check({
  out,
  from = "cdktf.out",
  stack,
  nodes = false,
  json = false,
  days = String(DAYS),
}: Options): Promise<number> {
  if (!/^\d{1,5}$/.test(days)) {
    throw new CredentialsError(`'--days' must be a number of days from 0 to 99999, got: ${days}`);
  }
  const folder = out ?? findStack(from, stack).name;
  const cluster = describedCluster(folder);
  const options = { now: new Date(), days: Number(days) };
  const findings = [...checkFolder(folder, options), ...(nodes ? await checkNodes(folder, cluster, options) : [])];
  const faults = findings.reduce((count, finding) => count + finding.faults.length, 0);
  console.log(json ? JSON.stringify({ folder, cluster: cluster.name, faults, findings }, null, 2) : table(findings));
  if (!json) console.log(faults === 0 ? `\n${folder}: all is well` : `\n${folder}: ${counted(faults, "fault")}`);
  return faults === 0 ? 0 : 1;
}

function table(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ path }) => path.length));
  return findings
    .map(({ path, daysLeft, faults }) => {
      const days = daysLeft === undefined ? "" : `${daysLeft} days`;
      return `${path.padEnd(width)}  ${days.padStart(10)}  ${faults.length === 0 ? "ok" : faults.join("; ")}`;
    })
    .join("\n");
}

function options() {
  try {
    return parseArgs({ allowPositionals: true, options: OPTIONS });
  } catch (error) {
    // Node's first sentence says what is wrong.
    const [said] = (error as Error).message.split(/\.?[ \n](?=[A-Z])/);
    throw new CredentialsError(`${said}; allowed: ${named(Object.keys(OPTIONS))}`);
  }
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

function named(options: readonly string[]): string {
  return options.map((option) => `--${option}`).join(", ");
}

// Who reads the first lines alone has read enough.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
});

main().then(
  (status) => {
    process.exitCode = status;
  },
  (error: Error) => {
    // What is not foreseen is told with where it happened; it is no fault of what was checked either.
    console.error(`credentials: ${error instanceof CredentialsError ? error.message : error.stack}`);
    process.exitCode = 2;
  },
);
