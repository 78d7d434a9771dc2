import { readdirSync, readFileSync, rmSync, statSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Ended, type Running, signalInside, until } from "../../cloud/program";
import { shellBlocks } from "../../testing/documented";
import { Rehearsal } from "../../testing/rehearsal";
import { story } from "../../testing/story";
import { expectTutorialFiles, TUTORIAL_NAME } from "../../testing/tutorial";

const APPLY = ["apply", "-auto-approve", "-no-color"];
const MACHINES = ["master-0", "master-1", "master-2", "worker-0", "worker-1", "worker-2"];

let rehearsal: Rehearsal;

beforeAll(async () => {
  rehearsal = await Rehearsal.begin();
});

afterAll(() => rehearsal?.end());

/** Waits until Terraform has printed a text. */
const hasPrinted = ({ output, process }: Running, pattern: RegExp) =>
  until(() => pattern.test(output()), { what: () => `${pattern} in ${output()}`, process, seconds: 300 });

/** Starts an apply, interrupts it when it has printed a text, and waits for its end. */
async function interrupted(text: RegExp, ...args: string[]): Promise<Ended> {
  const apply = rehearsal.startTerraform(...APPLY, ...args);
  await hasPrinted(apply, text);
  signalInside(apply.process, "SIGINT");
  const ended = await apply.ended;
  expect(ended.output).toContain("Interrupt received.");
  expect(ended.status).toBe(1);
  return ended;
}

/** Starts an apply, and kills it after an event. */
async function killed(event: (apply: Running) => Promise<void>, ...args: string[]): Promise<void> {
  const apply = rehearsal.startTerraform(...APPLY, ...args);
  await event(apply);
  signalInside(apply.process, "SIGKILL");
  expect((await apply.ended).status).not.toBe(0);
}

/**
 * Runs the commands of a section of docs/recovery.md, and answers yes to their questions.
 * @param block - the index of the code block in the section
 * @param values - the values that replace the page's examples
 * @returns the output
 */
async function recover(heading: string, block: number, values: Readonly<Record<string, string>> = {}): Promise<string> {
  const text = shellBlocks("recovery.md", heading)[block] as string;
  const commands = Object.entries(values).reduce((known, [example, value]) => {
    expect(known).toContain(example);
    return known.replaceAll(example, value);
  }, text);
  return rehearsal.here("sh", "-ec", `yes yes | { ${commands} }`);
}

/** Expects an empty plan, no duplicates, and the right files on each machine. */
async function expectComplete(): Promise<void> {
  expect(await rehearsal.terraform("plan", "-detailed-exitcode", "-no-color")).toContain("No changes.");
  const found = await rehearsal.inventory();
  const ours = (list: readonly { Tags?: { Key?: string; Value?: string }[] }[]) =>
    list.flatMap(({ Tags = [] }) =>
      Tags.filter(({ Key, Value }) => Key === "Name" && Value?.startsWith(TUTORIAL_NAME)),
    );
  expect(
    ours(found.instances)
      .map(({ Value }) => Value)
      .sort(),
  ).toEqual(MACHINES.map((id) => `${TUTORIAL_NAME}-${id}`));
  const { vpcs, dhcpOptions, subnets, internetGateways, routeTables, securityGroups } = found;
  for (const list of [vpcs, dhcpOptions, subnets, internetGateways, routeTables, securityGroups]) {
    expect(ours(list)).toHaveLength(1);
  }
  const { keyPairs, loadBalancers, targetGroups } = found;
  for (const list of [keyPairs, loadBalancers, targetGroups, loadBalancers[0]?.listeners]) expect(list).toHaveLength(1);
  expect(targetGroups[0]?.targets).toHaveLength(3);
  expect(found.securityGroupRules.filter(({ Tags = [] }) => Tags.length > 0)).toHaveLength(8);
  await rehearsal.cloud.machines.settled();
  for (const id of MACHINES) expectTutorialFiles(rehearsal.machine(id).host, id);
}

story({
  "SIGINT during the creation of the VPC: the error names the VPC": async () => {
    expect((await interrupted(/aws_vpc\.vpc: Still creating/)).output).toContain("with aws_vpc.vpc,");
  },

  "SIGINT during the creation of machines and the load balancer: the errors name them": async () => {
    const { output } = await interrupted(/aws_instance\.worker-2: Still creating/);
    for (const address of ["aws_instance.worker-2", "aws_lb.load-balancer"])
      expect(output).toContain(`with ${address},`);
  },

  "SIGINT during a copy: the error names the copy": async () => {
    const { output } = await interrupted(/null_resource\.pems-worker-1: Provisioning with 'file'/);
    expect(output).toContain("with null_resource.pems-worker-");
  },

  "the next apply completes the cluster without duplicates": async () => {
    await rehearsal.apply();
    await expectComplete();
  },

  "SIGKILL during a copy: the copy may count as done, and -replace repeats it": async () => {
    const id = "worker-1";
    const key = `${TUTORIAL_NAME}-${id}-key.pem`;
    // A bundle is text in base64. It begins with a PEM file, and contains keys.
    const copiesKey = () => temporaryFiles().some((file) => readFileSync(file, "utf8").startsWith("LS0tLS1CRUdJTi"));
    const isRecorded = () =>
      rehearsal.folder.state.resources.some(
        ({ type, name, instances }: { type: string; name: string; instances: readonly object[] }) =>
          `${type}.${name}` === `null_resource.pems-${id}` && instances.length > 0,
      );
    for (let attempt = 1; ; attempt++) {
      await killed(async ({ process, output }) => {
        await until(copiesKey, { what: () => `the copy of a bundle: ${output()}`, process, seconds: 300 });
        // A copy takes less than a second. To a frozen host, it lasts until Terraform has saved its other work.
        rehearsal.machine(id).host.freeze();
        await sleep(5_000);
      }, `-replace=aws_instance.${id}`);
      await rehearsal.cloud.machines.restart(rehearsal.machine(id));
      expect(Object.keys(rehearsal.machine(id).host.files())).not.toContain(key);
      const lock = readdirSync(rehearsal.folder.path).filter((name) => name.endsWith(".lock.info"));
      expect(lock).toEqual([`.terraform.${TUTORIAL_NAME}.tfstate.lock.info`]);
      // The state contains a copy that is not done yet, if Terraform has saved the state for another resource meanwhile. If
      // the upload ended before the host was frozen, Terraform has removed its file already.
      if (isRecorded() && temporaryFiles().length > 0) break;
      expect(attempt).toBeLessThan(5);
      const again = isRecorded() ? [`-replace=null_resource.pems-${id}`] : [];
      expect(await rehearsal.apply(...again)).toMatch(/Resources: 1 added, 0 changed, [01] destroyed\./);
      expect(Object.keys(rehearsal.machine(id).host.files())).toContain(key);
      for (const file of temporaryFiles()) rmSync(file);
    }
    expect(await rehearsal.apply()).toContain("No changes.");
    expect(Object.keys(rehearsal.machine(id).host.files())).not.toContain(key);

    await recover("A copy that was cut off", 0);
    await expectComplete();
  },

  "SIGKILL during a copy leaves a file with a key that no other user can read": async () => {
    expect(temporaryFiles().map((file) => statSync(file).mode & 0o777)).toEqual([0o600]);
    await recover("A file with a key in it", 0);
    expect(temporaryFiles()).toEqual([]);
  },

  "SIGKILL during the creation of a machine: the machine exists, is not in the state, and is imported": async () => {
    const orphan = await orphaned("worker-2");
    await recover("A machine that Terraform does not know of", 1, { "i-0123456789abcdef0": orphan });
    expect(rehearsal.machine("worker-2").id).toBe(orphan);
    await expectComplete();
  },

  "SIGKILL during the creation of a machine: the machine is terminated": async () => {
    const orphan = await orphaned("worker-2");
    await recover("A machine that Terraform does not know of", 2, { "i-0123456789abcdef0": orphan });
    await expectComplete();
    expect(rehearsal.machine("worker-2").id).not.toBe(orphan);
  },

  "an empty state file is restored from the backup": async () => {
    await rehearsal.apply("-replace=null_resource.pems-worker-0");
    const resources = rehearsal.folder.state.resources.filter(({ mode }: { mode: string }) => mode === "managed");
    truncateSync(rehearsal.folder.stateFile as string);
    expect(await rehearsal.terraform("plan", "-no-color")).toContain(
      `Plan: ${resources.length} to add, 0 to change, 0 to destroy.`,
    );
    await recover("An empty state file", 0);
    await expectComplete();
  },

  "SIGKILL with the state in S3: the lock stays until force-unlock, and a VPC that is not in the state is imported":
    async () => {
      await rehearsal.npm("destroy", "--auto-approve");
      await rehearsal.configure({ backend: { type: "s3", bucket: "states" } });
      const aws = (...args: string[]) => rehearsal.here("aws", ...args);
      await aws(
        "s3api",
        "create-bucket",
        "--bucket",
        "states",
        "--create-bucket-configuration",
        "LocationConstraint=eu-central-1",
      );
      await rehearsal.terraform("init", "-no-color", "-reconfigure", "-backend-config=use_path_style=true");
      await killed((apply) => hasPrinted(apply, /aws_vpc\.vpc: Still creating/));

      const locked = await rehearsal.startTerraform(...APPLY).ended;
      expect(locked.status).toBe(1);
      expect(locked.output).toContain("Error acquiring the state lock");
      const [, id] = /ID: +(\S+)/.exec(locked.output) as unknown as [string, string];
      await recover("The lock", 0, { "01234567-89ab-cdef-0123-456789abcdef": id });

      const heading = "A VPC that Terraform does not know of";
      const vpc = (await recover(heading, 0)).trim();
      expect(vpc).toMatch(/^vpc-\w+$/);
      await recover(heading, 1, { "vpc-0123456789abcdef0": vpc });
      const plan = await rehearsal.terraform("plan", "-no-color");
      expect(plan).not.toContain("aws_vpc.vpc will be created");
      expect(plan).toContain("aws_subnet.subnet-0 will be created");
    },
});

/** Terraform's temporary files with the content that it copies. */
function temporaryFiles(): string[] {
  const names = readdirSync(rehearsal.temporaryFolder).filter((name) => name.startsWith("tf-file-content"));
  return names.map((name) => join(rehearsal.temporaryFolder, name));
}

/** Kills Terraform while it replaces a machine. @returns the id of the new instance, which is not in the state */
async function orphaned(id: string): Promise<string> {
  const before = rehearsal.machine(id).id;
  await killed(async ({ process, output }) => {
    const runs = () =>
      rehearsal.cloud.machines.running.some(
        ({ name, id: instance }) => name === `${TUTORIAL_NAME}-${id}` && instance !== before,
      );
    await until(runs, { what: () => `a new instance of ${id}: ${output()}`, process, seconds: 300 });
  }, `-replace=aws_instance.${id}`);
  const next = await rehearsal.startTerraform(...APPLY).ended;
  expect(next.status).toBe(1);
  expect(next.output).toContain(`with aws_instance.${id},`);
  const found = (await recover("A machine that Terraform does not know of", 0)).trim();
  expect(found).toBe(rehearsal.machine(id).id);
  return found;
}
