/**
 * `npm run credentials` writes the files that part 2 needs from the deployed cluster. `npm run credentials -- check` checks
 * them. Exit status: 0: written, or no problem found; 1: the check found a problem; 2: the command could not run.
 */
import { parseArgs } from "node:util";
import { checkFolder, type Finding } from "../credentials/check";
import { credentialFiles, describedCluster, ENCRYPTION_CONFIG } from "../credentials/files";
import { writeFolder } from "../credentials/folder";
import { checkNodes } from "../credentials/nodes";
import { CredentialsError, findStack, readStack } from "../credentials/stack";

/** The default of `--days`: enough time to renew a certificate. */
const DAYS = 14;

const USAGE = `npm run credentials [-- options]            writes the files that part 2 needs from the deployed cluster
npm run credentials -- check [options]      checks these files

  --out DIR       the folder of these files (default: the cluster's name)
  --from DIR      the folder that \`npm run synth\` wrote (default: cdktf.out)
  --stack NAME    the stack in that folder (default: the only one)
  --replace       replace the files of another CA or cluster
only with check:
  --nodes         also check the files on the machines
  --days N        report certificates that expire in fewer than N days (default: ${DAYS})
  --json          print JSON`;

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

/** The options of each command. */
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
  const allowed = COMMANDS.get(command);
  if (allowed === undefined || rest.length > 0) {
    throw new CredentialsError(`the only command is check, got: ${positionals.join(" ")}`);
  }
  const notAllowed = Object.keys(values).find((option) => !allowed.includes(option));
  if (notAllowed !== undefined) {
    throw new CredentialsError(
      command === "check"
        ? `'--${notAllowed}' cannot be used with check; allowed: ${named(allowed)}`
        : `'--${notAllowed}' needs the command check; allowed without it: ${named(allowed)}`,
    );
  }
  if (values.out === "") throw new CredentialsError("'--out' must be a folder, got: nothing");
  return command === "check" ? check(values) : write(values);
}

type Options = ReturnType<typeof options>["values"];

function write({ out, from = "cdktf.out", stack, replace = false }: Options): number {
  const { cluster, warnings } = readStack(from, stack);
  for (const warning of warnings) console.error(`credentials: warning: ${warning}`);
  const folder = out ?? cluster.name;
  const { written, unchanged, kept, removed, others } = writeFolder(folder, credentialFiles(cluster), replace);
  if (kept !== undefined) {
    const where = kept === ENCRYPTION_CONFIG ? "it was not changed" : `it was renamed to ${kept}`;
    console.error(
      `credentials: warning: ${ENCRYPTION_CONFIG} may contain a key that the state does not have: ${where} (docs/certificates.md)`,
    );
  }
  if (others.length > 0)
    console.error(`credentials: not changed, because they are not this cluster's: ${others.join(", ")}`);
  const deleted = removed.length === 0 ? "" : `, ${removed.length} removed, because the cluster no longer has them`;
  console.log(`${folder}: ${counted(written.length, "file")} written, ${unchanged} unchanged${deleted}`);
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
  const problems = findings.reduce((count, finding) => count + finding.problems.length, 0);
  console.log(json ? JSON.stringify({ folder, cluster: cluster.name, problems, findings }, null, 2) : table(findings));
  if (!json)
    console.log(problems === 0 ? `\n${folder}: no problems found` : `\n${folder}: ${counted(problems, "problem")}`);
  return problems === 0 ? 0 : 1;
}

function table(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ path }) => path.length));
  return findings
    .map(({ path, daysLeft, problems }) => {
      const days = daysLeft === undefined ? "" : `${daysLeft} days`;
      return `${path.padEnd(width)}  ${days.padStart(10)}  ${problems.length === 0 ? "ok" : problems.join("; ")}`;
    })
    .join("\n");
}

function options() {
  try {
    return parseArgs({ allowPositionals: true, options: OPTIONS });
  } catch (error) {
    // The first sentence of Node's message names the problem.
    const [message] = (error as Error).message.split(/\.?[ \n](?=[A-Z])/);
    throw new CredentialsError(`${message}; allowed: ${named(Object.keys(OPTIONS))}`);
  }
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

function named(options: readonly string[]): string {
  return options.map((option) => `--${option}`).join(", ");
}

// A reader that closes the pipe after the first lines is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
});

main().then(
  (status) => {
    process.exitCode = status;
  },
  (error: Error) => {
    // An unexpected error is printed with its stack trace. It is not a problem of the checked files, so the status is 2 too.
    console.error(`credentials: ${error instanceof CredentialsError ? error.message : error.stack}`);
    process.exitCode = 2;
  },
);
