import { type SpawnSyncReturns, spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import {
  BUNDLE,
  bundleEnd,
  type DistributedFile,
  distributionScript,
  readDistributionScript,
  STAGING_SCRIPT,
} from "../../model/distribution";
import { NODE_HOME } from "../../model/layout";

const FILES: readonly DistributedFile[] = [
  { path: `${NODE_HOME}/a.pem`, mode: "0644", owner: "ubuntu" },
  { path: `${NODE_HOME}/b-key.pem`, mode: "0600", owner: "ubuntu" },
  { path: `${NODE_HOME}/run.sh`, mode: "0755", owner: "ubuntu" },
];

describe("the distribution script on a machine", () => {
  let parent: string;
  let home: string;
  /** Replaces the home and the user of a machine with those of the test. */
  const localized = (text: string) =>
    text.replaceAll(NODE_HOME, home).replaceAll(" ubuntu ", ` ${userInfo().username} `).replaceAll("-w 120", "-w 1");
  const files = () =>
    Object.fromEntries(
      readdirSync(home)
        .filter((name) => name !== ".ssh")
        .sort()
        .map((name) => {
          const { mode } = statSync(join(home, name));
          const text = statSync(join(home, name)).isFile() ? readFileSync(join(home, name), "utf8") : "a folder";
          return [name, `${(mode & 0o777).toString(8).padStart(4, "0")} ${text}`];
        }),
    );

  beforeEach(() => {
    parent = mkdtempSync(join(tmpdir(), "machine-"));
    home = join(parent, "home");
    mkdirSync(join(home, ".ssh"), { mode: 0o700, recursive: true });
    chmodSync(home, 0o700);
  });
  afterEach(() => {
    rmSync(parent, { recursive: true });
  });

  function shell(script: readonly string[], bin = "/nowhere"): SpawnSyncReturns<string> {
    const env = { ...process.env, PATH: `${bin}:${process.env.PATH}` };
    return spawnSync("sh", ["-c", localized(script.join("\n"))], { env, encoding: "utf8" });
  }

  /** Runs the script with a bundle of contents. `programs` replace commands by name. */
  function run(
    contents: readonly string[],
    {
      programs = {},
      activate = [],
      folders = [],
      distributed = FILES,
      end = `${bundleEnd(distributed)}\n`,
    }: RunOptions = {},
  ): { status: number | null; output: string } {
    const staging = shell(STAGING_SCRIPT);
    if (staging.status !== 0) return { status: staging.status, output: staging.stdout + staging.stderr };
    const lines = contents.map((content) => `${Buffer.from(content).toString("base64")}\n`);
    writeFileSync(localized(BUNDLE), lines.join("") + end);
    const bin = mkdtempSync(join(tmpdir(), "bin-"));
    // With commands, the script runs as root.
    const id = 'case $1 in -u) echo 0;; *) exec /usr/bin/id "$@";; esac';
    for (const [name, script] of Object.entries({ id, ...programs })) {
      writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`);
      chmodSync(join(bin, name), 0o755);
    }
    const { status, stdout, stderr } = shell(distributionScript(distributed, activate, folders), bin);
    rmSync(bin, { recursive: true });
    return { status, output: stdout + stderr };
  }

  interface RunOptions {
    readonly programs?: Readonly<Record<string, string>>;
    readonly activate?: readonly string[];
    readonly folders?: readonly string[];
    readonly distributed?: readonly DistributedFile[];
    readonly end?: string;
  }

  const BEFORE = { "a.pem": "0644 old a", "b-key.pem": "0600 old b" };
  const AFTER = { "a.pem": "0644 new a", "b-key.pem": "0600 new b", "run.sh": "0755 new c\n" };

  function writeBefore(): void {
    for (const [name, status] of Object.entries(BEFORE)) {
      const [mode = "", ...words] = status.split(" ");
      writeFileSync(join(home, name), words.join(" "));
      chmodSync(join(home, name), Number.parseInt(mode, 8));
    }
  }

  test("replaces files, sets their modes, and leaves no temporary file", () => {
    writeBefore();
    expect(run(["new a", "new b", "new c\n"], { activate: ["echo done"] })).toEqual({ status: 0, output: "done\n" });
    expect(files()).toEqual(AFTER);
  });

  test("succeeds with the temporary files of an interrupted run", () => {
    writeFileSync(join(home, "a.pem.distribution-new"), "x");
    writeFileSync(join(home, "b-key.pem.distribution-old"), "x");
    run(["new a", "new b", "new c\n"]);
    expect(files()).toEqual(AFTER);
  });

  test.each<[string, Readonly<Record<string, string>>]>([
    ["the decoding of a content", { base64: "exit 1" }],
    ["the change of a mode", { chmod: 'case $2 in *b-key*) exit 1;; esac; exec /bin/chmod "$@"' }],
    ["the second rename", { mv: 'case $2 in *b-key.pem.distribution-new) exit 1;; esac; exec /bin/mv "$@"' }],
    ["the last rename", { mv: 'case $2 in *run.sh.distribution-new) exit 1;; esac; exec /bin/mv "$@"' }],
    [
      "a rename, interrupted by a signal,",
      { mv: '/bin/mv "$@"; case $2 in *a.pem.distribution-new) kill -TERM $PPID;; esac' },
    ],
  ])("keeps all current files if %s fails", (_name, programs) => {
    writeBefore();
    const { status } = run(["new a", "new b", "new c\n"], { programs, activate: ["touch activated"] });
    expect(status).not.toBe(0);
    expect(files()).toEqual(BEFORE);
  });

  test("refuses a bundle that was cut off", () => {
    writeBefore();
    expect(run(["new a", "new b"], { end: "" })).toEqual({
      status: 1,
      output: "the bundle was cut, or is for other files\n",
    });
    expect(files()).toEqual(BEFORE);
  });

  test.each([
    ["the bundle of other files", ["new a", "new b", "new c\n"], bundleEnd(FILES.slice(1))],
    ["a bundle with more files", ["new a", "new b", "new c\n", "new d"], bundleEnd(FILES)],
    ["a bundle with fewer files", ["new a", "new b"], bundleEnd(FILES)],
  ])("refuses %s", (_case, contents, end) => {
    writeBefore();
    const output = "the bundle was cut, or is for other files\n";
    expect(run(contents, { end: `${end}\n` })).toEqual({ status: 1, output });
    expect(files()).toEqual(BEFORE);
  });

  test.each([
    ["a second signal", "kill -TERM $PPID; kill -HUP $PPID; sleep 0.2"],
    ["a restore that fails", "kill -TERM $PPID"],
  ])("removes every temporary file with a key after %s", (name, signals) => {
    writeBefore();
    const fails = name === "a restore that fails" ? "*a.pem.distribution-old) exit 1;;" : "";
    const mv = `case $2 in ${fails} *run.sh.distribution-new) /bin/mv "$@"; ${signals}; exit 0;; *.distribution-old) sleep 0.1;; esac; exec /bin/mv "$@"`;
    const { status } = run(["new a", "new b", "new c\n"], { programs: { mv } });
    expect(status).not.toBe(0);
    expect(Object.keys(files())).toEqual(["a.pem", "b-key.pem"]);
    if (name === "a second signal") expect(files()).toEqual(BEFORE);
  });

  test("refuses to replace a folder with a file", () => {
    writeBefore();
    mkdirSync(join(home, "run.sh"), { mode: 0o755 });
    expect(run(["new a", "new b", "new c\n"])).toEqual({ status: 1, output: `${home}/run.sh is a folder\n` });
    expect(files()).toEqual({ ...BEFORE, "run.sh": "0755 a folder" });
  });

  test.each([
    ["that others may write", 0o757, () => home],
    ["that others may write, with the sticky bit", 0o1777, () => home],
    ["in a folder that others may write", 0o777, () => parent],
    ["behind a link that others may replace", 0o777, () => join(parent, "links")],
  ])("refuses a folder %s", (name, mode, folder) => {
    writeBefore();
    const real = home;
    if (name.includes("a link")) {
      mkdirSync(folder());
      home = join(folder(), "link");
      symlinkSync(real, home);
    }
    chmodSync(folder(), mode);
    const { status, output } = run(["new a", "new b", "new c\n"]);
    expect(status).toBe(1);
    const line = new RegExp(
      `^the folder of ${home}/a\\.pem must belong to root or \\S+, and no other user may write to it or to a folder above it, got: d\\S+ .*\\n$`,
    );
    expect(output).toMatch(line);
    expect(files()).toEqual(BEFORE);
  });

  test("takes a folder of the user below one with the sticky bit", () => {
    chmodSync(parent, 0o1777);
    expect(run(["new a", "new b", "new c\n"])).toEqual({ status: 0, output: "" });
    expect(files()).toEqual(AFTER);
  });

  const IN_FOLDER = [...FILES.slice(0, 2), { ...(FILES[2] as DistributedFile), path: `${NODE_HOME}/x/y/run.sh` }];
  const folderMode = (name: string) => (statSync(join(home, name)).mode & 0o7777).toString(8);

  test("makes folders with their parents, which others may read, and keeps the files in a folder that exists", () => {
    const folders = [`${NODE_HOME}/x/y`, `${NODE_HOME}/z`];
    expect(run(["new a", "new b", "new c\n"], { distributed: IN_FOLDER, folders })).toEqual({ status: 0, output: "" });
    expect(["x", "x/y", "z"].map(folderMode)).toEqual(["755", "755", "755"]);
    expect(readFileSync(join(home, "x/y/run.sh"), "utf8")).toBe("new c\n");

    writeFileSync(join(home, "x/y/other"), "other");
    expect(run(["new a", "new b", "newer c"], { distributed: IN_FOLDER, folders })).toEqual({ status: 0, output: "" });
    expect(readFileSync(join(home, "x/y/run.sh"), "utf8")).toBe("newer c");
    expect(readFileSync(join(home, "x/y/other"), "utf8")).toBe("other");
  });

  test("changes no file if a folder cannot be made", () => {
    writeBefore();
    writeFileSync(join(home, "x"), "a file", { mode: 0o644 });
    const { status } = run(["new a", "new b", "new c\n"], { distributed: IN_FOLDER, folders: [`${NODE_HOME}/x/y`] });
    expect(status).not.toBe(0);
    expect(files()).toEqual({ ...BEFORE, x: "0644 a file" });
  });

  test("names the folder that does not exist", () => {
    writeBefore();
    const distributed = [...FILES.slice(0, 2), { ...(FILES[2] as DistributedFile), path: `${NODE_HOME}/x/run.sh` }];
    const output = `the folder of ${home}/x/run.sh must exist\n`;
    expect(run(["new a", "new b", "new c\n"], { distributed })).toEqual({ status: 1, output });
    expect(files()).toEqual(BEFORE);
  });

  test("refuses every folder if namei fails", () => {
    const { status, output } = run(["new a", "new b", "new c\n"], { programs: { namei: "exit 1" } });
    expect({ status, output }).toMatchObject({
      status: 1,
      output: expect.stringContaining("got: no list of folders\n"),
    });
    expect(files()).toEqual({});
  });

  test.each(["ln -s", "ln"])("does not write through a file that another user creates by %s", (link) => {
    writeBefore();
    const target = join(parent, "target");
    writeFileSync(target, "secret of root");
    const rm = `/bin/rm "$@"
case $2 in *b-key.pem.distribution-new) [ -e ${parent}/made ] || ${link} ${target} "$2"; touch ${parent}/made;; esac`;
    expect(run(["new a", "new b", "new c\n"], { programs: { rm } }).status).not.toBe(0);
    expect(readFileSync(target, "utf8")).toBe("secret of root");
    expect(files()).toEqual(BEFORE);
  });

  describe("while another script still runs its commands, as after an apply that was killed", () => {
    /** Starts a copy whose commands take some seconds. @returns its output, when it ends */
    async function startAnother(seconds: number): Promise<Promise<string>[]> {
      spawnSync("sh", ["-c", localized(STAGING_SCRIPT.join("\n"))]);
      const lines = ["other a", "other b", "other c\n"].map((content) => Buffer.from(content).toString("base64"));
      writeFileSync(localized(BUNDLE), [...lines, bundleEnd(FILES), ""].join("\n"));
      const script = distributionScript(FILES, [
        "echo started",
        `sleep ${seconds}`,
        "echo ended",
        `touch ${parent}/ended`,
      ]).slice(1);
      const { stdout } = spawn("sh", ["-c", localized(script.join("\n"))]);
      let output = "";
      const ended = new Promise<string>((resolve) => stdout.on("close", () => resolve(output)));
      await new Promise<void>((resolve) =>
        stdout.on("data", (data) => {
          output += data;
          resolve();
        }),
      );
      return [ended];
    }

    test("a copy waits for it, and neither removes files of the other", async () => {
      const [another] = await startAnother(0.5);
      const activate = [`test -e ${parent}/ended`];
      expect(run(["new a", "new b", "new c\n"], { activate })).toEqual({ status: 0, output: "" });
      expect(await another).toBe("started\nended\n");
      expect(files()).toEqual(AFTER);
    });

    test("a copy fails after a limited time, and changes nothing", async () => {
      const [another] = await startAnother(3);
      const output = `another copy to this machine has not ended within 120 s; on the machine, this lists it: pgrep -af ${home}/.distribution/run
`;
      expect(run(["new a", "new b", "new c\n"])).toEqual({ status: 1, output });
      // The script itself waits too, as the staging script of the other may have run before.
      const { status, stderr } = shell(distributionScript(FILES));
      expect({ status, stderr }).toEqual({ status: 1, stderr: output });
      expect(await another).toBe("started\nended\n");
      expect(files()).toEqual({ "a.pem": "0644 other a", "b-key.pem": "0600 other b", "run.sh": "0755 other c\n" });
    });

    test("a program that the commands leave running does not stop the next copy", () => {
      expect(run(["old a", "old b", "old c\n"], { activate: ["sleep 3 >/dev/null 2>&1 &"] }).status).toBe(0);
      expect(run(["new a", "new b", "new c\n"])).toEqual({ status: 0, output: "" });
      expect(files()).toEqual(AFTER);
    });
  });

  test.each([
    ["exec", ["exec true", "exit 1"], 0],
    ["exit", ["exit 0", "exit 1"], 0],
    ["exit with another status", ["exit 3"], 3],
    ["another folder", [`cd /`, "set +e", "false", "true # the end"], 0],
    ["a removed trap", ["trap - EXIT", "exec true"], 0],
    ["other values of the script's variables", ["paths='' new=x done='' placed=/x"], 0],
    ["another function with the script's name", ["finish() { true; }"], 0],
    ["a syntax error", ["true )"], 2],
  ])("removes every temporary file after commands with %s", (_case, activate, status) => {
    writeBefore();
    expect(run(["new a", "new b", "new c\n"], { activate }).status).toBe(status);
    expect(files()).toEqual(AFTER);
  });

  test.each([[[]], [["echo 'a b'"]], [["if true", "then echo 1; fi"]], [["(", ")"]], [["", ""]]])(
    "the commands %j can be read from the script",
    (activate) => {
      expect(readDistributionScript(distributionScript(FILES, activate))).toEqual({
        files: FILES,
        activate,
        folders: [],
      });
    },
  );

  test("folders, and owners of any name, can be read from the script", () => {
    const owned = FILES.map((file) => ({ ...file, owner: "kube-apiserver" }));
    const folders = ["/etc/etcd", "/usr/local/lib/kubernetes"];
    for (const activate of [[], ["true"]]) {
      const script = distributionScript(owned, activate, folders);
      expect(readDistributionScript(script)).toEqual({ files: owned, activate, folders });
      // Root makes folders, and files of other users.
      expect(script[0]).toMatch(/ exec sudo -n -- sh "\$0"$/);
    }
    expect(distributionScript(owned)[0]).toBe(distributionScript(FILES, ["true"])[0]);
    expect(distributionScript(FILES, [], folders)[0]).toBe(distributionScript(FILES, ["true"])[0]);
    expect(distributionScript(FILES)[0]).toBe("set -eu");
    // A folder after the files is no folder of such a script.
    const [first, ...rest] = distributionScript(FILES, [], folders.slice(0, 1)) as [string, ...string[]];
    const row = rest.find((line) => line.startsWith("install -d -m 0755 -- ")) as string;
    expect(readDistributionScript([first, ...rest.filter((line) => line !== row), row])).toBeUndefined();
  });

  test("reports a failed command, and keeps the new files", () => {
    writeBefore();
    expect(run(["new a", "new b", "new c\n"], { activate: ["false"] }).status).toBe(1);
    expect(files()).toEqual(AFTER);
  });
});
