import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Running, until } from "../../cloud/program";
import { CloudProgram } from "../../testing/cloud-program";
import { shellBlocks } from "../../testing/documented";
import { story } from "../../testing/story";
import { TUTORIAL_NAME } from "../../testing/tutorial";

const SETTINGS = { controlPlane: { count: 1 }, workers: { count: 1 } };

/** Moments of a change of the worker's instance type: the text that Terraform has printed, and the milliseconds after it. */
const MOMENTS: readonly (readonly [printed: RegExp, delay: number])[] = [
  [/worker-0: Refreshing state/, 0],
  [/pems-worker-0: Destroying/, 0],
  [/aws_instance\.worker-0: Modifying/, 0],
  [/aws_instance\.worker-0: Modifying/, 50],
  [/aws_instance\.worker-0: Modifying/, 100],
  [/aws_instance\.worker-0: Modifying/, 200],
  [/aws_instance\.worker-0: Modifying/, 500],
  [/aws_instance\.worker-0: Modifying/, 1000],
  [/aws_instance\.worker-0: Modifying/, 3000],
  [/aws_instance\.worker-0: Still modifying/, 0],
];

/** A type for each moment. They differ, because an interrupted deploy may or may not have changed the type. */
const TYPES = ["t3", "t3a"].flatMap((family) =>
  ["nano", "micro", "small", "medium", "large"].map((size) => `${family}.${size}`),
);

/** The settings after the ten changes. */
const CHANGED_SETTINGS = {
  ...SETTINGS,
  workers: { count: 1, instanceType: TYPES[MOMENTS.length - 1] },
};

const cloud = new CloudProgram(SETTINGS);

afterAll(async () => {
  await cloud.run("down");
  cloud.remove();
});

async function succeed(...args: string[]): Promise<string> {
  const { status, output } = await cloud.run(...args);
  if (status !== 0) throw new Error(`${args.join(" ")}: status ${status}\n${output}`);
  return output;
}

/** Waits until a program in the cloud has printed a text. */
const hasPrinted = ({ output, process }: Running, pattern: RegExp) =>
  until(() => pattern.test(output()), { what: () => `${pattern} in ${output()}`, process, seconds: 300 });

/** The parsed state file. Terraform writes it in place, so a killed Terraform leaves an empty or a cut one. */
function readState(): { readonly serial: number; readonly resources: readonly StateResource[] } {
  return JSON.parse(readFileSync(join(cloud.clusters, `terraform.${TUTORIAL_NAME}.tfstate`), "utf8"));
}

interface StateResource {
  readonly type: string;
  readonly name: string;
  readonly instances: readonly { readonly status?: string; readonly attributes: { readonly id: string } }[];
}

/** The ids of everything that exists in AWS, and of every key, by address. */
const idsInState = () =>
  Object.fromEntries(
    readState()
      .resources.filter(({ type }) => type.startsWith("aws_") || type === "tls_private_key")
      .map(({ type, name, instances }) => [`${type}.${name}`, instances.map(({ attributes }) => attributes.id)]),
  );

/** Expects that no lock of a state is left. A killed Terraform leaves its lock's file. */
const expectUnlocked = () =>
  expect(readdirSync(cloud.clusters).filter((name) => name.endsWith(".lock.info"))).toEqual([]);

/** Expects that Terraform has recorded everything. It waits for an apply that still runs. */
const expectNoChanges = async () =>
  expect(await succeed("exec", "terraform", "plan", "-lock-timeout=2m", "-detailed-exitcode", "-no-color")).toContain(
    "No changes.",
  );

/** Waits until a machine lets a person log in. */
async function expectSsh(name: string): Promise<void> {
  for (const end = Date.now() + 180_000; (await cloud.run("ssh", name, "true")).status !== 0; ) {
    expect(Date.now()).toBeLessThan(end);
  }
}

story({
  "Ctrl-C during npm run cloud -- deploy lets Terraform save its state": async () => {
    await succeed("up");
    const deploy = cloud.start(["deploy", "--auto-approve"], { terminal: true });
    await hasPrinted(deploy, /Provisioning with 'file'/);
    deploy.process.stdin?.write("\x03");
    expect((await deploy.ended).status).not.toBe(0);

    const instances = readState().resources.flatMap((each) => each.instances);
    expect(instances.filter(({ status }) => status === "tainted").length).toBeGreaterThan(0);
    expectUnlocked();
  },

  "the next deploy completes the cluster": async () => {
    await succeed("deploy", "--auto-approve");
    expect(await succeed("status")).toMatch(
      /-master-0 +running +172\.31\.0\.10 +203\.0\.113\..*\n.*-worker-0 +running/,
    );
  },

  "ten times Ctrl-C during a change of the running cluster: the state is whole each time": async () => {
    const ids = idsInState();
    for (const [index, [printed, delay]] of MOMENTS.entries()) {
      cloud.configure({ ...SETTINGS, workers: { count: 1, instanceType: TYPES[index] } });
      const { serial } = readState();
      const deploy = cloud.start(["deploy", "--auto-approve"], { terminal: true });
      await hasPrinted(deploy, printed);
      await sleep(delay);
      deploy.process.stdin?.write("\x03");
      expect((await deploy.ended).status).not.toBe(0);

      expect(readState().serial).toBeGreaterThanOrEqual(serial);
      expect(idsInState()).toEqual(ids);
      expectUnlocked();
      if (index === MOMENTS.length - 1) break;
      const [worker] = ids["aws_instance.worker-0"] as [string];
      // With another address, so that the next deploy also replaces its certificate and its copy. It may be stopped already.
      const change = (name: string) => `aws ec2 ${name}-instances --instance-ids ${worker}`;
      await succeed("exec", "sh", "-ec", `${change("stop")} && ${change("start")}`);
    }
  },

  "a machine that an interrupted change left stopped is started, and the change is completed, as on the page":
    async () => {
      // It depends on the moment of the last interruption whether the machine is stopped.
      const [worker] = idsInState()["aws_instance.worker-0"] as [string];
      await succeed("exec", "aws", "ec2", "stop-instances", "--instance-ids", worker);
      const deploy = await cloud.run("deploy", "--auto-approve");
      expect(deploy.status).toBe(1);
      expect(deploy.output).toContain("has no public address");
      const [find, complete] = shellBlocks("recovery.md", "A machine that stays stopped") as [string, string];
      const stopped = (await succeed("exec", "sh", "-ec", find)).trim();
      expect(stopped).toBe(worker);
      expect(complete).toContain("i-0123456789abcdef0");
      const commands = complete.replaceAll("i-0123456789abcdef0", stopped);
      await succeed("exec", "sh", "-ec", `yes yes | { ${commands} }`);
      await expectNoChanges();
      expect(await succeed("ssh", "worker-0", "ls")).toContain("worker-0-key.pem");
    },

  "a terminal that is closed while a machine is created: Terraform completes the apply in the background": async () => {
    cloud.configure({ ...SETTINGS, workers: { ...CHANGED_SETTINGS.workers, count: 2 } });
    const deploy = cloud.start(["deploy", "--auto-approve"], { terminal: true });
    await hasPrinted(deploy, /aws_instance\.worker-1: Creating/);
    // The end of the program that holds the terminal: the kernel sends a hangup to every program in it.
    deploy.process.kill("SIGKILL");
    await deploy.ended;
    await expectNoChanges();
    expect(await succeed("ssh", "worker-1", "ls")).toContain("worker-1-key.pem");
  },

  "SIGTERM to npm run cloud -- deploy and its programs: the state is whole, and the next deploy completes the change":
    async () => {
      cloud.configure(CHANGED_SETTINGS);
      const deploy = cloud.start(["deploy", "--auto-approve"], { terminal: true });
      await hasPrinted(deploy, /aws_instance\.worker-1: Destroying/);
      const pid = deploy.process.pid as number;
      const program = Number.parseInt(readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8"), 10);
      expect(program).toBeGreaterThan(1);
      process.kill(-program, "SIGTERM");
      await deploy.ended;
      expectUnlocked();
      // Terraform is interrupted: before its call for the machine, after it, or after the machine's end. A machine that is
      // only in the state does no harm. One that is only in AWS would be lost.
      const isInState = idsInState()["aws_instance.worker-1"] !== undefined;
      expect(isInState || !(await succeed("status")).includes("worker-1")).toBe(true);
      await succeed("deploy", "--auto-approve");
      expect(await succeed("status")).not.toContain("worker-1");
      await expectNoChanges();
    },

  "npm run cloud -- ssh logs in to a running machine with the generated key": async () => {
    expect(await succeed("ssh", "worker-0", "id -un && ls")).toBe(
      `ubuntu\nca.pem\n${TUTORIAL_NAME}-worker-0-key.pem\n${TUTORIAL_NAME}-worker-0.pem\n`,
    );
    expect(await cloud.run("ssh", "worker-7")).toEqual({
      status: 1,
      output: "cloud: the machine must be a running one (master-0, worker-0), got: 'worker-7'\n",
    });
    expect(await cloud.run("kubectl", "get", "nodes")).toEqual({
      status: 1,
      output: `cloud: ${TUTORIAL_NAME} must have the setting 'kubernetes', got: a cluster without it\n`,
    });
  },

  "npm run cloud -- credentials writes the files, and the check finds no problem on the machines": async () => {
    const folder = join(cloud.folder, "credentials");
    expect(await succeed("credentials")).toBe(`${folder}: 25 files written, 0 unchanged\n`);
    expect(await succeed("credentials", "check", "--nodes")).toContain(`${folder}: no problems found on 2 machines\n`);
  },

  "terraform and aws run in the cloud": async () => {
    await expectNoChanges();
    expect(await succeed("diff", "-out=plan")).toContain("No changes.");
    expect(JSON.parse(await succeed("exec", "terraform", "show", "-json", "plan"))).toHaveProperty("planned_values");
    await succeed("exec", "rm", "plan");
    const names = ["ec2", "describe-key-pairs", "--query", "KeyPairs[].KeyName"];
    expect(JSON.parse(await succeed("exec", "aws", ...names))).toEqual([TUTORIAL_NAME]);
    expect(await succeed("exec", "terraform", "output", "ssh_commands")).toContain("ssh -i ");
    expect(await succeed("exec", "terraform", "output", "nodes")).toContain('"private_ip" = "172.31.0.20"');
  },

  "a second cluster with the same private addresses: its first diff works, and both have their own machines and keys":
    async () => {
      cloud.configure({ ...SETTINGS, name: "second" });
      expect(await succeed("diff")).toContain("Plan:");
      await succeed("exec", "terraform", "apply", "-target=aws_instance.worker-0", "-auto-approve", "-no-color");
      await expectSsh(`${TUTORIAL_NAME}-worker-0`);
      const status = await succeed("status");
      for (const name of [`${TUTORIAL_NAME}-worker-0`, "second-worker-0"]) {
        expect(status).toMatch(new RegExp(`^${name} +running +172\\.31\\.0\\.20 .* ssh `, "m"));
      }
      await succeed("exec", "terraform", "destroy", "-auto-approve", "-no-color");
    },

  "a machine is stopped, started, rebooted and terminated by commands, and its journal is printed": async () => {
    cloud.configure(CHANGED_SETTINGS);
    await succeed("diff");
    const isStopped = async () => /worker-0 +stopped/.test(await succeed("status"));
    await succeed("stop", "worker-0");
    expect(await isStopped()).toBe(true);
    expect(await cloud.run("logs", "worker-0")).toEqual({
      status: 1,
      output: `cloud: ${TUTORIAL_NAME}-worker-0 does not run: npm run cloud -- start worker-0\n`,
    });
    await succeed("start", "worker-0");
    await expectSsh("worker-0");
    await succeed("ssh", "worker-0", "sudo systemd-run --unit=not-enabled sleep infinity");
    await succeed("reboot", "worker-0");
    const isRebooted = async () =>
      (await cloud.run("ssh", "worker-0", "systemctl is-active not-enabled")).output.trim() === "inactive";
    for (const end = Date.now() + 180_000; !(await isRebooted()); ) expect(Date.now()).toBeLessThan(end);
    expect(await succeed("logs", "worker-0", "--unit=ssh", "--lines=50")).toContain("Server listening on");
    await succeed("terminate", "worker-0");
    expect(await succeed("status")).not.toContain("worker-0");
    expect(await cloud.run("reboot", "worker-0")).toMatchObject({
      status: 1,
      output: expect.stringContaining("(master-0), got: 'worker-0'"),
    });
  },

  "a state in S3 is refused": async () => {
    cloud.configure({ ...CHANGED_SETTINGS, backend: { type: "s3", bucket: "our-states" } });
    const { status, output } = await cloud.run("deploy", "--auto-approve");
    expect(status).toBe(1);
    expect(output).toContain("\ncloud: 'backend' must be local, with a path in the project's folder, ");
    cloud.configure(CHANGED_SETTINGS);
  },

  "npm run cloud -- destroy destroys the cluster": async () => {
    await succeed("destroy", "--auto-approve");
    expect(await succeed("status")).toContain("No machines");
    await succeed("down");
    expect(cloud.files).toEqual([]);
  },
});
