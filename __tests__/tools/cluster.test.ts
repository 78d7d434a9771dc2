import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const PROJECT = join(__dirname, "../..");

let scratch: string;

beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), "cluster-"));
});

afterEach(() => rmSync(scratch, { recursive: true }));

const path = (name: string) => join(scratch, name);

/** Writes the description of a cluster whose machines are all stopped. No machine is asked over the network. */
function describeCluster(masters: number, workers: number, others: object = { kubernetes: true }): void {
  const machines = (role: string, count: number, first: number) =>
    Array.from({ length: count }, (_, index) => [
      `prod-${role}-${index}`,
      { private_ip: `172.31.0.${first + index}`, public_ip: "" },
    ]);
  const cluster = {
    name: "prod",
    publicAddress: "prod.example.com",
    serviceAddress: "10.32.0.1",
    ...others,
    nodes: Object.fromEntries([...machines("master", masters, 10), ...machines("worker", workers, 20)]),
  };
  mkdirSync(path("prod"));
  writeFileSync(path("prod/cluster.json"), JSON.stringify(cluster));
}

/** Runs the program on the described cluster. */
function run(...args: readonly string[]) {
  return program(...args, "--credentials", path("prod"), "--without-state");
}

function program(...args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ["--import", "tsx", join(PROJECT, "tools/cluster.ts"), ...args],
    { cwd: PROJECT, encoding: "utf8" },
  );
  return { status, stdout, stderr };
}

/** The result of a command that is refused. */
const refused = (line: string) => ({ status: 2, stdout: "", stderr: `cluster: ${line}\n` });

const STOPPED: readonly string[] = ["master-0", "master-1", "master-2"].map(
  (id) => `${id}: it has no public address; it may be stopped`,
);

describe("the command line", () => {
  test.each([
    [[], "a command is missing; allowed: remove, snapshot, restore"],
    [["snapshto"], "'snapshto' is not a command, did you mean 'snapshot'? allowed: remove, snapshot, restore"],
    [["toString"], "'toString' is not a command, did you mean 'restore'? allowed: remove, snapshot, restore"],
    [["remove"], "remove needs NAME, got: nothing"],
    [["snapshot", "a.db"], "snapshot needs no argument, got: a.db"],
    [["restore"], "restore needs FILE, got: nothing"],
    [["snapshot", "--replace"], "'--replace' cannot be used with snapshot"],
    [["restore", "a.db", "--out", "b.db"], "'--out' cannot be used with restore"],
    [["remove", "worker-1", "--replace"], "'--replace' cannot be used with remove"],
    [["snapshot", "--out="], "'--out' needs a value, got: nothing"],
    [["snapshot", "--credentials="], "'--credentials' needs a value, got: nothing"],
    [
      ["snapshot", "--ouf", "a"],
      "'--ouf' is not an option, did you mean '--out'? allowed: --credentials, --from, --stack, --without-state, --out, --replace",
    ],
  ])("%j is refused in one line", (args, line) => {
    expect(program(...args)).toEqual(refused(line));
  });

  test("--help names each command and option", () => {
    const { status, stdout } = program("--help");
    expect(status).toBe(0);
    for (const word of [
      "remove NAME",
      "snapshot",
      "restore FILE",
      "--credentials",
      "--from",
      "--stack",
      "--without-state",
      "--out",
      "--replace",
    ]) {
      expect(stdout).toContain(word);
    }
  });
});

describe("the cluster", () => {
  test("of a missing folder is refused", () => {
    expect(run("snapshot")).toEqual(
      refused(
        `'--credentials' must be a folder that \`npm run credentials\` wrote, got: ${path("prod")}, which does not exist`,
      ),
    );
  });

  test("without a folder and a synthesized stack is refused", () => {
    expect(program("snapshot", "--from", path("cdktf.out"))).toEqual(
      refused(`'--from' must be a folder that \`npm run synth\` wrote, got: ${path("cdktf.out")}`),
    );
  });

  test("without its state is refused: the machines in the folder may be of an earlier deploy", () => {
    describeCluster(3, 2);
    const options = ["--credentials", path("prod"), "--from", path("cdktf.out")];
    for (const command of [["remove", "worker-1"], ["snapshot"], ["restore", path("a.db")]]) {
      expect(program(...command, ...options)).toEqual(
        refused(
          `the state of prod must be readable here, because it has the machines that exist, got: no outputs from \`terraform output\` in ${path("cdktf.out")} (--without-state takes the machines of ${path("prod")}/cluster.json, which may be of an earlier deploy)`,
        ),
      );
    }
  });

  test("without Kubernetes is refused", () => {
    describeCluster(3, 2, {});
    expect(run("snapshot")).toEqual(
      refused(
        "prod must have the setting 'kubernetes', got: a cluster without it (if it was added later, run `npm run credentials`)",
      ),
    );
  });
});

describe("remove", () => {
  test.each(["worker-0", "master-0", "worker-10", "prod-worker-0", "other-worker-1"])(
    "%s is refused, because it is not the last machine of a role",
    (name) => {
      describeCluster(3, 2);
      expect(run("remove", name)).toEqual(
        refused(
          `'NAME' must be the last machine of a role, or the last ones, because a smaller count takes them away: worker-1 or master-2, got: ${name}`,
        ),
      );
    },
  );

  test("several must be the last ones of one role", () => {
    describeCluster(3, 4);
    expect(run("remove", "worker-1", "worker-3")).toEqual(
      refused(
        "'NAME' must be the last machine of a role, or the last ones, because a smaller count takes them away: worker-2 worker-3 or master-1 master-2, got: worker-1 worker-3",
      ),
    );
    expect(run("remove", "worker-3", "worker-2")).toEqual(refused(`no API server is ready: ${STOPPED.join("; ")}`));
  });

  test.each(["worker-10", "prod-worker-10", "ip-172-31-0-30"])("the last worker has the highest number: %s", (name) => {
    describeCluster(3, 11);
    expect(run("remove", name)).toEqual(refused(`no API server is ready: ${STOPPED.join("; ")}`));
  });

  test("the only control plane machine is refused", () => {
    describeCluster(1, 2);
    expect(run("remove", "master-0")).toEqual(
      refused("master-0: the last control plane machine cannot be removed: npm run destroy"),
    );
  });

  test("a control plane machine that is stopped is not removed without another one that has a quorum", () => {
    describeCluster(3, 2);
    expect(run("remove", "master-2")).toEqual({
      ...refused(`the member of master-2 cannot be removed: ${STOPPED.join("; ")}`),
      stdout: `${STOPPED[2]}: its member of etcd is removed on another machine\n`,
    });
  });

  test("a name cannot change the terminal", () => {
    describeCluster(3, 2);
    expect(run("remove", "\u001b]0;title\u0007").stderr).toContain("got: \\u001b]0;title\\u0007\n");
  });
});

describe("snapshot", () => {
  test("an existing file is refused", () => {
    describeCluster(3, 2);
    writeFileSync(path("a.db"), "mine");
    expect(run("snapshot", "--out", path("a.db"))).toEqual(
      refused(`'--out' must be a new file, got: ${path("a.db")}, which exists`),
    );
  });

  test("a missing folder is refused", () => {
    describeCluster(3, 2);
    expect(run("snapshot", "--out", path("missing/a.db"))).toEqual(
      refused(`'--out' must be a file in a folder that exists, got: ${path("missing/a.db")}`),
    );
  });

  test("without a machine that answers, nothing is written", () => {
    describeCluster(3, 2);
    expect(run("snapshot", "--out", path("a.db"))).toEqual(refused(`no member of etcd answers: ${STOPPED.join("; ")}`));
    expect(readdirSync(scratch)).toEqual(["prod"]);
  });
});

describe("restore", () => {
  test.each([
    ["does not exist", () => undefined],
    ["is empty", () => writeFileSync(path("a.db"), "")],
    ["is no regular file", () => spawnSync("mkfifo", [path("a.db")])],
  ])("a file that %s is refused", (problem, make) => {
    describeCluster(3, 2);
    make();
    expect(run("restore", path("a.db"))).toEqual(
      refused(`'FILE' must be a snapshot of etcd, got: ${path("a.db")}, which ${problem}`),
    );
  });

  test("machines that do not answer are named, also with --replace", () => {
    describeCluster(3, 2);
    writeFileSync(path("a.db"), "data");
    expect(run("restore", path("a.db"), "--replace")).toEqual(
      refused(
        `all control plane machines must answer (\`npm run deploy\` replaces those that are gone), got: ${STOPPED.join("; ")}`,
      ),
    );
  });
});
