import { lstatSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import type { SecurityGroupRule } from "@aws-sdk/client-ec2";
import { changeInstance, type InstanceChange, type Inventory } from "../../cloud/inventory";
import { until } from "../../cloud/program";
import type { Changes } from "../../review/changes";
import { compare, type Document } from "../../review/compare";
import { readPlan } from "../../review/plan";
import type { ClusterSettingsInput } from "../../settings/schema";
import { readCertificate } from "../../testing/read-certificate";
import { REGION, Rehearsal } from "../../testing/rehearsal";
import { story } from "../../testing/story";
import { expectTutorialFiles, TUTORIAL_NAME, tutorialCertificates } from "../../testing/tutorial";

const PROJECT = join(__dirname, "../..");
const MACHINES = ["master-0", "master-1", "master-2", "worker-0", "worker-1", "worker-2"];

/** The certificate and the copy of a worker: Terraform replaces them if the worker's machine or public address changes. */
const CERTIFICATE_AND_COPY = (id: string) => [
  `null_resource.pems-${id}`,
  `tls_cert_request.${id}-request`,
  `tls_locally_signed_cert.${id}-certificate`,
];
/** Settings that give all machines another instance type. */
const SMALL = { controlPlane: { instanceType: "t3.small" }, workers: { instanceType: "t3.small" } };

/**
 * The number of lines at the start of a private key's PEM text that may be public. They contain the modulus, and a
 * certificate may contain the same lines. The modulus of 2048 bits ends in line 6 (PKCS #1), line 7 (PKCS #8), or line 13
 * (OpenSSH's format, which contains it twice).
 */
const PUBLIC_LINES = 13;

/** Changed settings. Each is reviewed without a plan, and then planned. */
const REVIEWED: readonly ClusterSettingsInput[] = [
  { workers: { count: 4 } },
  { workers: { count: 2 } },
  { access: { ssh: ["203.0.113.7/32"] } },
  { image: { release: "jammy" } },
  { pki: { subject: { country: "GB" } } },
  { pki: { caValidityHours: 87_600 } },
  { pki: { validityHours: 1000 } },
  { workers: { firstHostNumber: 30 } },
  { controlPlane: { count: 5 } },
  { tags: { team: "platform" } },
];

const NO_CHANGES = { resources: [], visited: [], rewritten: [] };

let rehearsal: Rehearsal;
let initialInventory: Inventory;

beforeAll(async () => {
  rehearsal = await Rehearsal.begin();
  initialInventory = await rehearsal.inventory();
});

afterAll(() => rehearsal?.end());

const host = (id: string) => rehearsal.machine(id).host;

/** The file to which this test writes the private key for the machines. */
const keyFile = () => join(rehearsal.folder.path, "id_rsa");

/** A resource's attributes in the state. */
function attributes(address: string): { id: string; private_key_pem: string; validity_end_time: string } {
  const [ofType, ofName] = address.split(".");
  const resources: { type: string; name: string; instances: { attributes: never }[] }[] =
    rehearsal.folder.state.resources;
  return resources.find(({ type, name }) => type === ofType && name === ofName)?.instances[0]?.attributes as never;
}

/** Expects the tutorial's files on all six machines, with the tutorial's certificates and the current addresses in them. */
function expectComplete(): void {
  const pems: Record<string, string> = rehearsal.folder.output("pem_files");
  const { ca, ...leaves } = tutorialCertificates({
    loadBalancer: rehearsal.folder.output("kubernetes_public_address"),
    publicIp: (worker) => rehearsal.machine(worker).publicIp,
  });
  const caCertificate = readCertificate(pems["ca.pem"] as string);
  expect(caCertificate).toMatchObject({ ...ca, authorityKeyId: null });
  for (const [id, expected] of Object.entries(leaves)) {
    const fileName = id.startsWith("worker") ? `${TUTORIAL_NAME}-${id}.pem` : `${id}.pem`;
    const leaf = readCertificate(pems[fileName] as string);
    expect(leaf).toMatchObject({ ...expected, authorityKeyId: caCertificate.subjectKeyId });
  }
  for (const id of MACHINES) {
    expectTutorialFiles(host(id), id);
    for (const name of Object.keys(host(id).files())) expect(host(id).read(name)).toBe(pems[name]);
  }
}

async function expectEmptyPlan(): Promise<void> {
  expect(await rehearsal.terraform("plan", "-detailed-exitcode", "-no-color")).toContain("No changes.");
}

/** The actions that a policy in docs/github.md allows. `*` stands for any text. */
function policy(heading: string): string[] {
  const page = readFileSync(join(__dirname, "../../docs/github.md"), "utf8");
  const section = page.split(/^## /m).find((text) => text.startsWith(`${heading}\n`)) as string;
  const [, text] = /```json\n(.*?)```/s.exec(section) as unknown as [string, string];
  return JSON.parse(text).Statement.flatMap(({ Action }: { Action: string | string[] }) => Action);
}

/** The calls that no allowed action covers. GetCallerIdentity needs no permission. */
function notAllowed(calls: readonly string[], allowed: readonly string[]): string[] {
  const covers = (call: string) => (pattern: string) =>
    pattern.endsWith("*") ? call.startsWith(pattern.slice(0, -1)) : call === pattern;
  expect(calls.length).toBeGreaterThan(20);
  return [...new Set(calls)].filter((call) => call !== "sts:GetCallerIdentity" && !allowed.some(covers(call)));
}

/** Stops, starts or terminates machines, as a person does in the AWS console. */
async function inConsole(change: InstanceChange["change"], ...ids: string[]): Promise<void> {
  for (const id of ids) {
    await changeInstance(rehearsal.cloud.socket, { id: attributes(`aws_instance.${id}`).id, region: REGION, change });
  }
}

/** A tag's value. */
const tag = ({ Tags = [] }: { Tags?: { Key?: string; Value?: string }[] }, key: string) =>
  Tags.find(({ Key }) => Key === key)?.Value;

/** The only element of a list whose Name tag is the cluster's name. */
const named = <T extends { Tags?: { Key?: string; Value?: string }[] }>(list: readonly T[]): T => {
  const found = list.filter((each) => tag(each, "Name") === TUTORIAL_NAME);
  expect(found).toHaveLength(1);
  expect(tag(found[0] as T, "Cluster")).toBe(TUTORIAL_NAME);
  return found[0] as T;
};

story({
  "a deploy copies to the workers while its load balancer is made": async () => {
    const begin = Date.now();
    const deploy = rehearsal.startNpm("deploy", "--auto-approve");
    await until(() => deploy.output().includes(": Creating..."), { what: deploy.output, process: deploy.process });
    const creating = Date.now();
    const { output } = await deploy.ended;
    const plain = stripVTControlCharacters(output);
    expect(plain).toContain("Resources: 73 added, 0 changed, 0 destroyed.");

    const [, minutes, seconds] = /aws_lb\.load-balancer: Creation complete after (\d+)m(\d+)s/.exec(plain) ?? [];
    const loadBalancer = 60 * Number(minutes) + Number(seconds);
    const apply = (Date.now() - creating) / 1000;
    const before = (creating - begin) / 1000;
    process.stderr.write(
      `npm run deploy: ${before.toFixed(1)} s to synthesize and plan, ${apply.toFixed(1)} s to apply (the load balancer took ${loadBalancer} s)\n`,
    );
    // The certificate of the control plane machines has the name of the load balancer.
    const [meanwhile] = plain.split("aws_lb.load-balancer: Creation complete");
    for (const id of MACHINES.filter((each) => each.startsWith("worker"))) {
      expect(meanwhile).toContain(`null_resource.pems-${id}: Creating...`);
    }
  },

  "the AWS API shows the tutorial's network": async () => {
    const found = await rehearsal.inventory();
    const vpc = named(found.vpcs);
    const options = named(found.dhcpOptions);
    const subnet = named(found.subnets);
    const gateway = named(found.internetGateways);
    const routes = named(found.routeTables);

    expect(vpc).toMatchObject({ CidrBlock: "172.31.0.0/16", dnsSupport: true, dnsHostnames: true });
    expect(vpc.DhcpOptionsId).toBe(options.DhcpOptionsId);
    expect(options.DhcpConfigurations).toEqual([
      { Key: "domain-name-servers", Values: [{ Value: "AmazonProvidedDNS" }] },
      { Key: "domain-name", Values: [{ Value: "eu-central-1.compute.internal" }] },
    ]);
    expect(subnet).toMatchObject({ CidrBlock: "172.31.0.0/24", VpcId: vpc.VpcId });
    expect(subnet.PrivateDnsNameOptionsOnLaunch?.HostnameType).toBe("ip-name");
    expect(gateway.Attachments).toEqual([{ State: "available", VpcId: vpc.VpcId }]);
    expect(routes.VpcId).toBe(vpc.VpcId);
    expect(routes.Associations?.map(({ SubnetId }) => SubnetId)).toEqual([subnet.SubnetId]);

    const interfaceOf = (id: string) =>
      found.instances.find((instance) => tag(instance, "Name") === `${TUTORIAL_NAME}-${id}`)?.NetworkInterfaces?.[0]
        ?.NetworkInterfaceId;
    const targets = routes.Routes?.map((route) => [
      route.DestinationCidrBlock,
      route.GatewayId ?? route.NetworkInterfaceId,
    ]);
    expect(targets?.sort()).toEqual([
      ["0.0.0.0/0", gateway.InternetGatewayId],
      ["172.20.0.0/24", interfaceOf("worker-0")],
      ["172.20.1.0/24", interfaceOf("worker-1")],
      ["172.20.2.0/24", interfaceOf("worker-2")],
      ["172.31.0.0/16", "local"],
    ]);
  },

  "the AWS API shows the tutorial's security group": async () => {
    const found = await rehearsal.inventory();
    const group = named(found.securityGroups);
    expect(group).toMatchObject({ GroupName: TUTORIAL_NAME, Description: "Kubernetes cluster security group" });
    const rules = found.securityGroupRules.filter(({ GroupId }) => GroupId === group.GroupId);
    const line = (rule: SecurityGroupRule) => {
      const source = rule.CidrIpv4 ?? (rule.ReferencedGroupInfo?.GroupId === group.GroupId ? "itself" : "another");
      const ports = rule.FromPort === -1 ? "all" : `${rule.FromPort}-${rule.ToPort}`;
      return [rule.IsEgress ? "to" : "from", source, rule.IpProtocol, ports, rule.Description].join(" | ");
    };
    expect(rules.map(line).sort()).toEqual([
      "from | 0.0.0.0/0 | icmp | all | All ICMP",
      "from | 0.0.0.0/0 | tcp | 22-22 | SSH",
      "from | 0.0.0.0/0 | tcp | 6443-6443 | Kubernetes API server",
      "from | 172.20.0.0/16 | -1 | all | Everything from the pod network",
      "from | 172.31.0.0/24 | tcp | 2379-2380 | etcd clients and peers",
      "from | 172.31.0.0/24 | tcp | 30000-32767 | Services of type NodePort",
      "from | itself | -1 | all | Everything between the machines of the cluster",
      "to | 0.0.0.0/0 | -1 | all | Everything outbound",
    ]);
  },

  "the AWS API shows the tutorial's load balancer": async () => {
    const found = await rehearsal.inventory();
    const [subnetId, vpcId] = [named(found.subnets).SubnetId, named(found.vpcs).VpcId];
    expect(found.loadBalancers).toHaveLength(1);
    expect(found.targetGroups).toHaveLength(1);
    const [balancer, group] = [found.loadBalancers[0], found.targetGroups[0]];
    expect(balancer).toMatchObject({
      LoadBalancerName: TUTORIAL_NAME,
      Type: "network",
      VpcId: vpcId,
      AvailabilityZones: [{ SubnetId: subnetId }],
      DNSName: rehearsal.folder.output("kubernetes_public_address"),
    });
    expect(balancer?.listeners).toMatchObject([
      { Port: 6443, Protocol: "TCP", DefaultActions: [{ Type: "forward", TargetGroupArn: group?.TargetGroupArn }] },
    ]);
    expect(group).toMatchObject({
      TargetGroupName: TUTORIAL_NAME,
      Protocol: "TCP",
      Port: 6443,
      VpcId: vpcId,
      TargetType: "ip",
      LoadBalancerArns: [balancer?.LoadBalancerArn],
      targets: ["172.31.0.10:6443", "172.31.0.11:6443", "172.31.0.12:6443"],
    });
  },

  "the AWS API shows the tutorial's machines and key pair": async () => {
    const found = await rehearsal.inventory();
    expect(found.keyPairs.map(({ KeyName, KeyType }) => `${KeyName} ${KeyType}`)).toEqual([`${TUTORIAL_NAME} rsa`]);
    const [subnetId, group] = [named(found.subnets).SubnetId, named(found.securityGroups)];
    const expected = MACHINES.map((id, index) => ({
      PrivateIpAddress: `172.31.0.${index < 3 ? 10 + index : 17 + index}`,
      userData: index < 3 ? `name=${id}` : `name=${id}|pod-cidr=172.20.${index - 3}.0/24`,
      InstanceType: "t2.micro",
      KeyName: TUTORIAL_NAME,
      SubnetId: subnetId,
      SecurityGroups: [{ GroupId: group.GroupId, GroupName: TUTORIAL_NAME }],
      SourceDestCheck: false,
      State: { Name: "running" },
      PublicIpAddress: rehearsal.machine(id).publicIp,
      MetadataOptions: { HttpEndpoint: "enabled", HttpTokens: "optional" },
    }));
    const instances = found.instances.sort((a, b) =>
      (tag(a, "Name") as string) < (tag(b, "Name") as string) ? -1 : 1,
    );
    expect(instances.map((instance) => [tag(instance, "Name"), tag(instance, "Cluster")])).toEqual(
      MACHINES.map((id) => [`${TUTORIAL_NAME}-${id}`, TUTORIAL_NAME]),
    );
    expect(instances).toMatchObject(expected);
  },

  "each machine has exactly its files, and each certificate has its fields": async () => {
    expectComplete();
  },

  "the generated key logs in to each machine": async () => {
    writeFileSync(keyFile(), rehearsal.folder.output("ssh_private_key"), { mode: 0o600 });
    for (const id of MACHINES) {
      const command: string = rehearsal.folder.output("ssh_commands")[`${TUTORIAL_NAME}-${id}`];
      expect(command).toBe(`ssh -i ssh/${TUTORIAL_NAME}.id_rsa ubuntu@${rehearsal.machine(id).publicIp}`);
      const ssh = command.replace(`ssh/${TUTORIAL_NAME}.id_rsa`, keyFile()).split(" ");
      const options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes"];
      const { output } = await rehearsal.start([...ssh, ...options, "id -un && ls"], "/").ended;
      expect(output).toMatch(/^ubuntu\nca/m);
    }
  },

  "npm run credentials writes every file that part 2 reads, and its check finds no problem, also on the machines":
    async () => {
      const { path, stackFolder, stateFile } = rehearsal.folder;
      const out = join(path, "credentials");
      const credentials = (...args: string[]) =>
        rehearsal.start(
          ["npm", "run", "--silent", "credentials", "--", ...args, "--from", join(stackFolder, "../.."), "--out", out],
          PROJECT,
        ).ended;
      expect(await credentials()).toEqual({ status: 0, output: `${out}: 31 files written, 0 unchanged\n` });
      expect(readFileSync(join(out, `ssh/${TUTORIAL_NAME}.id_rsa`), "utf8")).toBe(
        rehearsal.folder.output("ssh_private_key"),
      );
      expect(JSON.parse(readFileSync(stateFile as string, "utf8")).outputs.encryption_key.value).toHaveLength(44);
      expect(await credentials("check", "--nodes")).toMatchObject({
        status: 0,
        output: expect.stringContaining("no problems found"),
      });
      expect(await credentials()).toEqual({ status: 0, output: `${out}: 0 files written, 31 unchanged\n` });
      rmSync(out, { recursive: true });
    },

  "a second deploy changes nothing": async () => {
    const changes = await rehearsal.changesOf(async () => {
      expect(await rehearsal.npm("diff")).toContain("No changes.");
      await expectEmptyPlan();
      return rehearsal.npm("deploy", "--auto-approve");
    });
    expect(changes).toEqual(NO_CHANGES);
  },

  "npx cdktf diff and npx cdktf deploy work on the same state": async () => {
    expect(await rehearsal.cdktf("diff")).toContain("No changes.");
    const deployed = await rehearsal.cdktf("deploy", "--auto-approve");
    expect(stripVTControlCharacters(deployed)).toMatch(/No changes\.|0 added, 0 changed, 0 destroyed\./);
  },

  "npm run review without a plan reports the same changes as Terraform's plan": async () => {
    const before = rehearsal.folder.json as unknown as Document;
    for (const settings of REVIEWED) {
      await rehearsal.configure(settings);
      const reviewed = compare(before, rehearsal.folder.json as unknown as Document);
      // Not in the stack's folder, in which plan-page.sh allows no other files.
      const plan = join(rehearsal.folder.path, "reviewed.plan");
      await rehearsal.terraform("plan", "-no-color", `-out=${plan}`);
      const planned = readPlan(await rehearsal.quietly("terraform", "show", "-json", plan));
      const actions = ({ resources }: Changes) =>
        resources.filter(({ action }) => action !== "none").map(({ address, action }) => `${address} ${action}`);
      expect(actions(reviewed)).toEqual(actions(planned));
    }
    await rehearsal.configure({});
  },

  "a terminated machine is created again, with its certificate, route and copies": async () => {
    await inConsole("terminate", "worker-0");
    expect(await rehearsal.changesOf(() => rehearsal.apply())).toEqual({
      resources: ["aws_instance.worker-0", "aws_route.pod-route-worker-0", ...CERTIFICATE_AND_COPY("worker-0")],
      visited: ["worker-0"],
      rewritten: ["worker-0"],
    });
    expectComplete();
    await expectEmptyPlan();
  },

  "an apply names a stopped machine; after its start, its certificate gets the new address": async () => {
    await inConsole("stop", "worker-1", "master-2");
    const { status, output } = await rehearsal.startTerraform("apply", "-auto-approve", "-no-color").ended;
    expect(status).toBe(1);
    for (const id of ["worker-1", "master-2"]) {
      expect(unwrapped(output)).toContain(`${TUTORIAL_NAME}-${id} has no public address: a stopped machine has none`);
    }
    await inConsole("start", "worker-1", "master-2");
    expect(await rehearsal.changesOf(() => rehearsal.apply())).toEqual({
      resources: CERTIFICATE_AND_COPY("worker-1"),
      visited: ["worker-1"],
      rewritten: ["worker-1"],
    });
    expectComplete();
    await expectEmptyPlan();
  },

  "a replaced control plane machine gets its files, and no other machine is changed": async () => {
    expect(await rehearsal.changesOf(() => rehearsal.apply("-replace=aws_instance.master-1"))).toEqual({
      resources: ["aws_instance.master-1", "null_resource.pems-master-1"],
      visited: ["master-1"],
      rewritten: ["master-1"],
    });
    expectComplete();
    await expectEmptyPlan();
  },

  "a worker is added and then removed, and no other machine is changed": async () => {
    const resources = [
      "aws_instance.worker-3",
      "aws_route.pod-route-worker-3",
      ...CERTIFICATE_AND_COPY("worker-3"),
      "tls_private_key.worker-3-private-key",
    ];
    await rehearsal.configure({ workers: { count: 4 } });
    expect(await rehearsal.changesOf(() => rehearsal.apply())).toEqual({
      resources,
      visited: ["worker-3"],
      rewritten: ["worker-3"],
    });
    expectTutorialFiles(host("worker-3"), "worker-3");
    const { publicIp } = rehearsal.machine("worker-3");
    const certificate = readCertificate(host("worker-3").read(`${TUTORIAL_NAME}-worker-3.pem`));
    expect(certificate.ipAddresses).toEqual([publicIp, "172.31.0.23"]);

    await rehearsal.configure({});
    expect(await rehearsal.changesOf(() => rehearsal.apply())).toEqual({ ...NO_CHANGES, resources });
    expect(rehearsal.cloud.machines.running).toHaveLength(MACHINES.length);
    expectComplete();
  },

  "a new instance type gives machines new addresses, and the second apply at the latest updates the certificates":
    async () => {
      await rehearsal.configure(SMALL);
      await rehearsal.apply();
      await rehearsal.apply();
      const { instances } = await rehearsal.inventory();
      expect(instances.map(({ InstanceType }) => InstanceType)).toEqual(MACHINES.map(() => "t3.small"));
      expectComplete();
      await expectEmptyPlan();
    },

  "an expired certificate is replaced and copied to its machine": async () => {
    const address = "tls_locally_signed_cert.worker-2-certificate";
    const file = rehearsal.folder.stateFile as string;
    const state = readFileSync(file, "utf8");
    writeFileSync(file, state.replaceAll(attributes(address).validity_end_time, "2020-01-01T00:00:00Z"));
    expect(await rehearsal.changesOf(() => rehearsal.apply())).toEqual({
      resources: ["null_resource.pems-worker-2", address],
      visited: ["worker-2"],
      rewritten: ["worker-2"],
    });
    expectComplete();
    await expectEmptyPlan();
  },

  "a certificate within its early renewal is replaced and copied, and the others stay": async () => {
    await rehearsal.configure({ ...SMALL, pki: { earlyRenewalHours: 24 } });
    await rehearsal.apply();
    const address = "tls_locally_signed_cert.worker-1-certificate";
    const file = rehearsal.folder.stateFile as string;
    const soon = new Date(Date.now() + 10 * 3_600_000).toISOString().replace(/\.\d+/, "");
    writeFileSync(file, readFileSync(file, "utf8").replaceAll(attributes(address).validity_end_time, soon));
    expect(await rehearsal.changesOf(() => rehearsal.apply())).toEqual({
      resources: ["null_resource.pems-worker-1", address],
      visited: ["worker-1"],
      rewritten: ["worker-1"],
    });
    await expectEmptyPlan();
    await rehearsal.configure(SMALL);
    await rehearsal.apply();
    expectComplete();
  },

  "after a change of the CA's key, one apply replaces everything that depends on it": async () => {
    const instances = MACHINES.map((id) => attributes(`aws_instance.${id}`).id);
    const leaves = Object.keys(tutorialCertificates({ loadBalancer: "", publicIp: () => "" })).slice(1);
    expect(await rehearsal.changesOf(() => rehearsal.apply("-replace=tls_private_key.ca-private-key"))).toEqual({
      resources: [
        ...MACHINES.map((id) => `null_resource.pems-${id}`),
        ...leaves.map((id) => `tls_locally_signed_cert.${id}-certificate`),
        "tls_private_key.ca-private-key",
        "tls_self_signed_cert.ca-certificate",
      ].sort(),
      visited: MACHINES,
      rewritten: MACHINES,
    });
    expect(MACHINES.map((id) => attributes(`aws_instance.${id}`).id)).toEqual(instances);
    expectComplete();
    await expectEmptyPlan();
  },

  "an apply names machines that refuse, hang or are full, and completes the others; the next apply completes these too":
    async () => {
      const jsonFile = join(rehearsal.folder.stackFolder, "cdk.tf.json");
      writeFileSync(jsonFile, readFileSync(jsonFile, "utf8").replaceAll('"timeout": "5m"', '"timeout": "15s"'));
      const [refusing, hanging, full] = ["worker-0", "worker-1", "master-0"] as const;
      const broken = [full, refusing, hanging];
      const healthy = MACHINES.filter((id) => !(broken as string[]).includes(id));
      host(refusing).refuse();
      host(hanging).freeze();
      host(full).fillDisk();

      const changes = await rehearsal.changesOf(async () => {
        const replacements = MACHINES.map((id) => `-replace=null_resource.pems-${id}`);
        const { status, output } = await rehearsal.startTerraform(
          "apply",
          "-auto-approve",
          "-no-color",
          ...replacements,
        ).ended;
        expect(status).toBe(1);
        expect([...output.matchAll(/with null_resource\.pems-(.+),/g)].map(([, id]) => id).sort()).toEqual(broken);
        return output;
      });
      // The failed copy may leave its staging folder on the full machine.
      expect(changes.rewritten.filter((id) => id !== full)).toEqual(healthy);

      await rehearsal.cloud.machines.restart(rehearsal.machine(refusing));
      await rehearsal.cloud.machines.restart(rehearsal.machine(hanging));
      host(full).clearDisk();
      await rehearsal.configure(SMALL);
      expect(await rehearsal.changesOf(() => rehearsal.apply())).toEqual({
        resources: broken.map((id) => `null_resource.pems-${id}`),
        visited: broken,
        rewritten: broken,
      });
      expectComplete();
      await expectEmptyPlan();
    },

  "a plan is applied only if its page is the reviewed one, with the permissions of docs/github.md": async () => {
    const { path, stackFolder } = rehearsal.folder;
    const before = rehearsal.cloud.calls.length;
    const page = (name: string) => rehearsal.tool("plan-page.sh", stackFolder, join(path, name));
    const apply = (reviewed: string) =>
      rehearsal.tool("apply-reviewed.sh", stackFolder, join(path, "page"), join(path, reviewed));

    await rehearsal.configure({ ...SMALL, access: { ssh: ["198.51.100.7/32"] } });
    expect(await page("other")).toMatchObject({ status: 0 });
    await rehearsal.configure({ ...SMALL, access: { ssh: ["203.0.113.7/32"] } });
    expect(await page("reviewed")).toMatchObject({ status: 0 });
    expect(await page("page")).toMatchObject({ status: 0 });
    expect(notAllowed(rehearsal.cloud.calls.slice(before), policy("The policy to plan"))).toEqual([]);

    for (const reviewed of ["nothing-here", "other"]) {
      expect(
        await rehearsal.changesOf(async () => {
          const { status, output } = await apply(reviewed);
          expect({ status, output }).toEqual({
            status: 1,
            output: expect.stringMatching(/not applied: this plan .* open/),
          });
          return output;
        }),
      ).toEqual(NO_CHANGES);
    }
    const rule = (source: string) => `aws_vpc_security_group_ingress_rule.node-ssh-from-${source}`;
    expect(await rehearsal.changesOf(async () => (await apply("reviewed")).output)).toEqual({
      ...NO_CHANGES,
      resources: [rule("0-0-0-0-0"), rule("203-0-113-7-32")],
    });
    await page("page");
    expect(await apply("nothing-here")).toMatchObject({ status: 0, output: "nothing changes\n" });
    await rehearsal.configure(SMALL);
    await rehearsal.apply();
  },

  "no private key was printed, and no other user can read a file with a key": async () => {
    const { path, stackFolder, stateFile } = rehearsal.folder;
    const secretLines = JSON.stringify(rehearsal.folder.state)
      .split('"')
      .filter((text) => text.includes("PRIVATE KEY"))
      .flatMap((text) => text.split(/(?:\\+n)+/).slice(1 + PUBLIC_LINES))
      .filter((line) => /^[A-Za-z0-9+/=]{60,}$/.test(line));
    expect(new Set(secretLines).size).toBeGreaterThan(11 * 15);
    const printed = rehearsal.printed.join("");
    const log = readFileSync(join(path, "cloud.log"), "utf8");
    const json = readFileSync(join(stackFolder, "cdk.tf.json"), "utf8");
    for (const text of [printed, log, json]) {
      expect(text.length).toBeGreaterThan(0);
      expect([...secretLines, "PRIVATE KEY"].filter((secret) => text.includes(secret))).toEqual([]);
    }

    const filesWithKeys = readdirSync(path, { recursive: true, encoding: "utf8" })
      .map((name) => join(path, name))
      .filter((file) => !file.includes("/.terraform/") && lstatSync(file).isFile())
      .filter((file) => /PRIVATE KEY-----(\\n|\n)/.test(readFileSync(file, "latin1")));
    expect(filesWithKeys.sort()).toEqual([keyFile(), stateFile, `${stateFile}.backup`].sort());
    // A saved plan is an archive that contains the state.
    const secretFiles = [...filesWithKeys, join(stackFolder, "plan")];
    expect(secretFiles.map((file) => (statSync(file).mode & 0o777).toString(8))).toEqual(secretFiles.map(() => "600"));
  },

  "destroy leaves no resource in AWS and no host": async () => {
    const output = stripVTControlCharacters(await rehearsal.npm("destroy", "--auto-approve"));
    expect(output).toContain("Destroy complete! Resources: 73 destroyed.");
    expect(await rehearsal.inventory()).toEqual(initialInventory);
    await rehearsal.cloud.machines.settled();
    expect(rehearsal.cloud.machines.running).toEqual([]);
    expect(notAllowed(rehearsal.cloud.calls, policy("The policy to apply"))).toEqual([]);
  },
});

/** Terraform's messages without their frame and their line breaks. */
function unwrapped(output: string): string {
  return output.replaceAll(/\n│? */g, " ");
}
