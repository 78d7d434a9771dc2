/**
 * `npm run credentials` writes the files that part 2 needs from the deployed cluster. `npm run credentials -- check` checks
 * them. Exit status: 0: written, or no problem found; 1: the check found a problem; 2: the command could not run.
 */
import type { Finding } from "../credentials/check";
import { UserError } from "../model/user-error";
import { parseOptions, print, printError, printJson, runProgram, unknownWord } from "./program";

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
} as const;

/** The options of each command. */
const COMMANDS = new Map([
  ["write", ["out", "from", "stack", "replace"]],
  ["check", ["out", "from", "stack", "nodes", "days", "json"]],
]);

async function main(args: string[]): Promise<number> {
  const { positionals, values } = parseOptions(args, OPTIONS, true);
  const [command = "write", ...rest] = positionals;
  const allowed = COMMANDS.get(command);
  if (allowed === undefined) throw new UserError(unknownWord("a command", command, ["check"]));
  if (rest.length > 0) throw new UserError(`check takes options only, got: ${rest.join(" ")}`);
  const notAllowed = Object.keys(values).find((option) => !allowed.includes(option));
  if (notAllowed !== undefined) {
    throw new UserError(
      command === "check"
        ? `'--${notAllowed}' cannot be used with check; allowed: ${named(allowed)}`
        : `'--${notAllowed}' needs the command check; allowed without it: ${named(allowed)}`,
    );
  }
  if (values.out === "") throw new UserError("'--out' must be a folder, got: nothing");
  return command === "check" ? check(values) : write(values);
}

type Values = ReturnType<typeof parseOptions<typeof OPTIONS>>["values"];

/** Loads the modules that do the work: only then, so that `--help` and an unknown option are answered at once. */
const load = () => import("../credentials/index.js");

async function write({ out, from = "cdktf.out", stack, replace = false }: Values): Promise<number> {
  const { credentialFiles, ENCRYPTION_CONFIG, readStack, writeFolder } = await load();
  const { cluster, warnings } = readStack(from, stack);
  for (const warning of warnings) printError(`credentials: warning: ${warning}`);
  const folder = out ?? cluster.name;
  const { written, unchanged, kept, removed, others } = writeFolder(folder, credentialFiles(cluster), replace);
  if (kept !== undefined) {
    const where = kept === ENCRYPTION_CONFIG ? "it was not changed" : `it was renamed to ${kept}`;
    printError(
      `credentials: warning: ${ENCRYPTION_CONFIG} may contain a key that the state does not have: ${where} (docs/certificates.md)`,
    );
  }
  if (others.length > 0)
    printError(`credentials: not changed, because they are not this cluster's: ${others.join(", ")}`);
  const deleted = removed.length === 0 ? "" : `, ${removed.length} removed, because the cluster no longer has them`;
  print(`${folder}: ${counted(written.length, "file")} written, ${unchanged} unchanged${deleted}`);
  return 0;
}

async function check({
  out,
  from = "cdktf.out",
  stack,
  nodes = false,
  json = false,
  days = String(DAYS),
}: Values): Promise<number> {
  if (!/^\d{1,5}$/.test(days)) {
    throw new UserError(`'--days' must be a number of days from 0 to 99999, got: ${days}`);
  }
  const { checkFolder, checkNodes, deployedNodes, describedCluster, findStack } = await load();
  const folder = out ?? findStack(from, stack).name;
  const cluster = describedCluster(folder);
  const options = { now: new Date(), days: Number(days) };
  const findings: Finding[] = [];
  const add = (more: readonly Finding[]) => {
    findings.push(...more);
    if (!json) for (const line of table(more)) print(line);
  };
  add(checkFolder(folder, options));
  if (nodes) {
    // Terraform runs at most once.
    let deployed: ReturnType<typeof deployedNodes> | undefined;
    const ofState = () => (deployed ??= deployedNodes(from, cluster.name));
    for await (const more of checkNodes(folder, cluster, { ...options, deployedNodes: ofState })) add(more);
  }
  const looked = nodes ? ` on ${counted(Object.keys(cluster.nodes).length, "machine")}` : "";
  const problems = findings.reduce((count, finding) => count + finding.problems.length, 0);
  if (json) printJson({ folder, cluster: cluster.name, problems, findings: findings.sort(byPath) });
  else {
    print("");
    print(`${folder}: ${problems === 0 ? `no problems found${looked}` : counted(problems, "problem")}`);
  }
  return problems === 0 ? 0 : 1;
}

/** The order of findings in JSON. Machines answer in any order. */
function byPath(a: Finding, b: Finding): number {
  return a.path < b.path ? -1 : 1;
}

/** The lines of a table. */
function table(findings: readonly Finding[]): string[] {
  const width = Math.max(...findings.map(({ path }) => path.length));
  return findings.map(({ path, daysLeft, problems }) => {
    const days = daysLeft === undefined ? "" : `${daysLeft} days`;
    return `${path.padEnd(width)}  ${days.padStart(10)}  ${problems.length === 0 ? "ok" : problems.join("; ")}`;
  });
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

function named(options: readonly string[]): string {
  return options.map((option) => `--${option}`).join(", ");
}

// An error is not a problem of the checked files, so the status is another one.
runProgram({ name: "credentials", usage: USAGE, main, errorStatus: 2 });
