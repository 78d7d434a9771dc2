/**
 * `npm run cluster`: changes of a running cluster that Terraform cannot express. Exit status: 0: done; 1: a step on a machine
 * failed,
 * or the command could not go on; 2: refused before any change.
 */
import { UserError } from "../model/user-error";
import { parseOptions, print, printError, runProgram, unknownWord } from "./program";

const USAGE = `npm run cluster -- remove NAME...   takes the last workers or control plane machines out of the cluster: run it before
                                    you make the count in the settings smaller
npm run cluster -- snapshot         writes all data of etcd to a file
npm run cluster -- restore FILE     replaces all data of etcd by those of such a file, after etcd has lost its quorum

  --credentials DIR  the folder that \`npm run credentials\` wrote (default: the cluster's name)
  --from DIR         the folder that \`npm run synth\` wrote (default: cdktf.out)
  --stack NAME       the stack in that folder (default: the only one)
  --without-state    takes the machines of the credentials folder, which may be of an earlier deploy (default: those of the state)
only with snapshot:
  --out FILE         the file (default: NAME-etcd-DATE.db in the current folder)
only with restore:
  --replace          also while etcd has a quorum, or data with which it could have one: all changes since the snapshot are lost

exit status   0: done   1: a step on a machine failed, or the command could not go on   2: refused before any change`;

const TEXT = { type: "string" } as const;

const OPTIONS = {
  credentials: TEXT,
  from: TEXT,
  stack: TEXT,
  "without-state": { type: "boolean" },
  out: TEXT,
  replace: { type: "boolean" },
} as const;

type Values = ReturnType<typeof parseOptions<typeof OPTIONS>>["values"];

/** Loads the modules that do the work: only then, so that `--help` and an unknown option are answered at once. */
const load = () => import("../operations/index.js");

type Operations = Awaited<ReturnType<typeof load>>;

interface Command {
  /** The name of its argument. @default - it has none */
  readonly argument?: string;
  /** Whether it has one argument or more. @default false */
  readonly isRepeated?: boolean;
  /** The option that only this command has. @default - none */
  readonly option?: keyof Values;
  readonly run: (
    operations: Operations,
    cluster: Awaited<ReturnType<Operations["openCluster"]>>,
    args: readonly string[],
    values: Values,
  ) => Promise<void>;
}

const COMMANDS: Readonly<Record<string, Command>> = {
  remove: { argument: "NAME", isRepeated: true, run: ({ remove }, cluster, names) => remove(cluster, names, print) },
  snapshot: { option: "out", run: ({ snapshot }, cluster, _, { out }) => snapshot(cluster, out, print) },
  restore: {
    argument: "FILE",
    option: "replace",
    run: ({ restore }, cluster, [file = ""], { replace = false }) => restore(cluster, file, replace, print),
  },
};

async function main(args: string[]): Promise<number> {
  const { positionals, values } = parseOptions(args, OPTIONS, true);
  const [name, ...rest] = positionals;
  const command = parsed(name, rest, values);
  const { credentials, from = "cdktf.out", stack, "without-state": isWithoutState } = values;
  const operations = await load();
  const cluster = await operations.openCluster({ credentials, from, stack, isWithoutState });
  try {
    await command.run(operations, cluster, rest, values);
    return 0;
  } catch (error) {
    if (!(error instanceof operations.StepError || error instanceof operations.PartlyDone)) throw error;
    printError(`cluster: ${error.message}`);
    return 1;
  }
}

/** The command. @throws UserError if an argument or an option is not the command's */
function parsed(name: string | undefined, args: readonly string[], values: Values): Command {
  if (name === undefined) throw new UserError(`a command is missing; allowed: ${Object.keys(COMMANDS).join(", ")}`);
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined) throw new UserError(unknownWord("a command", name, Object.keys(COMMANDS)));
  const wanted = command.argument === undefined ? 0 : 1;
  if (args.length < wanted || (args.length > wanted && command.isRepeated !== true)) {
    throw new UserError(`${name} needs ${command.argument ?? "no argument"}, got: ${args.join(" ") || "nothing"}`);
  }
  const own = Object.values(COMMANDS).flatMap(({ option }) => option ?? []);
  const notAllowed = own.find((option) => option in values && option !== command.option);
  if (notAllowed !== undefined) throw new UserError(`'--${notAllowed}' cannot be used with ${name}`);
  const empty = Object.entries(values).find(([, value]) => value === "");
  if (empty !== undefined) throw new UserError(`'--${empty[0]}' needs a value, got: nothing`);
  return command;
}

runProgram({ name: "cluster", usage: USAGE, main, errorStatus: 2 });
