import { type Dirent, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { UserError } from "../model/user-error";
import { readRegularFile } from "./regular-file";

/** The folder for providers and modules. Its file terraform.tfstate describes the backend and contains no state. */
const DATA_FOLDER = ".terraform";

/** The workspace that Terraform uses if no other one is selected. */
export const DEFAULT_WORKSPACE = "default";

/** Matches names of states and backups: `terraform.tfstate`, `errored.tfstate`, `terraform.tfstate.backup`. Locks have no state. */
const STATE_NAME = /\.tfstate(\.(?!lock\.info$)|$)/;

/**
 * Checks that no state is in the folders that cdktf's CLI deletes after each synthesis: those in `stacks` that belong to no
 * stack of the app. A state is there if Terraform uses a workspace, or if the backend was configured by `init`.
 * @param output - the folder that synthesis writes, `cdktf.out`
 * @param stackNames - the stacks of the app
 * @throws UserError if there is a state, or if a folder cannot be read
 */
export function checkNoStateIsDeleted(output: string, stackNames: readonly string[]): void {
  const stacks = join(output, "stacks");
  const states = entriesOf(stacks)
    .filter((entry) => entry.isDirectory() && !stackNames.includes(entry.name))
    .flatMap(({ name }) => statesIn(join(stacks, name)));
  const [first, ...more] = states;
  if (first === undefined) return;
  throw new UserError(
    `synthesis would delete the folders of other clusters, and with them the state ${first}${more.length === 0 ? "" : ` and ${more.length} more`}: move the cluster's folder to another place, or add \`-- --output cdktf.out.NAME\` to the command`,
  );
}

/** The paths of all states in a folder. Links are not followed. */
function statesIn(folder: string): string[] {
  return entriesOf(folder).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return entry.name === DATA_FOLDER ? [] : statesIn(path);
    return STATE_NAME.test(entry.name) ? [path] : [];
  });
}

function entriesOf(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    throw new UserError(`synthesis cannot read ${folder}: ${(error as Error).message}`);
  }
}

/** The parts of Terraform's description of the backend that `init` has configured. */
interface Backend {
  readonly type: string;
  readonly config: { readonly path?: string | null; readonly workspace_dir?: string | null };
}

/**
 * The files in which a local backend stores the state of a workspace and its backup; empty for another backend. They need not
 * exist.
 * @param folder - the stack's folder, in which `terraform init` has run
 */
export function stateFiles(folder: string, workspace: string): string[] {
  const { type, config } = backendOf(folder);
  if (type !== "local") return [];
  const path =
    workspace === DEFAULT_WORKSPACE
      ? config.path || "terraform.tfstate"
      : join(config.workspace_dir || "terraform.tfstate.d", workspace, "terraform.tfstate");
  const file = resolve(folder, path);
  return [file, `${file}.backup`];
}

/** The backend in use. Without a backend in the configuration, `init` writes no description, and the backend is local. */
function backendOf(folder: string): Backend {
  const dataFolder = resolve(folder, process.env.TF_DATA_DIR || DATA_FOLDER);
  try {
    const { type, config } = JSON.parse(readRegularFile(join(dataFolder, "terraform.tfstate"))).backend;
    return { type, config: config ?? {} };
  } catch {
    return { type: "local", config: {} };
  }
}
