import { once } from "node:events";
import { statSync } from "node:fs";
import { join } from "node:path";
import { inside } from "../namespace";
import { ENDS_WITH_PARENT, type Running, start, until } from "../program";

/** The program's line when it listens at a port. */
const READY = /^ready (\d+)$/m;

/** The properties of a {@link Mirror}. */
export interface MirrorProps {
  /** The path of the network namespace with the mirror's address. */
  readonly namespace: string;
  readonly address: string;
  /** The port; 0 is any free port. @default 80 */
  readonly port?: number;
  /** The folder with HOST/PATH for each file, and `images` with docker archives and OCI layouts. */
  readonly folder: string;
  /** A folder for the content of archives with images. It is created, and may be kept for the next start. */
  readonly cache: string;
  /** Receives lines for a person: each request that finds nothing. */
  readonly log: (line: string) => void;
}

/**
 * A mirror of release files and of images: a program in a network namespace. It ends with this process. It needs root and
 * util-linux.
 *
 * `http://ADDRESS/HOST/PATH` is the file at `https://HOST/PATH`. Like the release hosts, the mirror redirects to another path
 * that has the file. It is also a registry: `http://ADDRESS/v2/NAME/...?ns=REGISTRY`, as containerd asks a mirror, or
 * `http://ADDRESS/v2/REGISTRY/NAME/...`.
 */
export class Mirror {
  private constructor(
    private readonly running: Running,
    /** The mirror's address: `http://ADDRESS` or `http://ADDRESS:PORT`. */
    readonly url: string,
  ) {}

  /**
   * Starts a mirror, and waits until it listens.
   * @throws Error if the folder is not a folder, or if the port is in use
   */
  static async start({ namespace, address, port = 80, folder, cache, log }: MirrorProps): Promise<Mirror> {
    if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) {
      throw new Error(`mirror must be a folder with HOST/PATH for each file, got ${JSON.stringify(folder)}`);
    }
    const program = [process.execPath, "--import", "tsx", join(__dirname, "program.ts"), folder, cache, address];
    const running = start([...ENDS_WITH_PARENT, ...inside(namespace), ...program, String(port)], {
      cwd: join(__dirname, "../.."),
      onOutput: (text) =>
        text
          .split("\n")
          .filter((line) => line && !READY.test(line))
          .forEach(log),
    });
    await until(() => READY.test(running.output()), {
      what: () => `the mirror at ${address}:${port}: ${running.output()}`,
      process: running.process,
    });
    const [, used] = READY.exec(running.output()) as unknown as [string, string];
    return new Mirror(running, `http://${address}${used === "80" ? "" : `:${used}`}`);
  }

  /** Ends the mirror. */
  async close(): Promise<void> {
    const { process: program } = this.running;
    if (program.exitCode !== null || program.signalCode !== null) return;
    program.kill("SIGKILL");
    await once(program, "exit");
  }
}
