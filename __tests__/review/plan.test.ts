import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describeSuite } from "../../cloud/requirements";
import { resourcesOf } from "../../cloud/terraform-json";
import { Cluster } from "../../constructs";
import { bundleEnd, type DistributedFile, distributionScript, readDistributionScript } from "../../model/distribution";
import { UserError } from "../../model/user-error";
import { findingsOf } from "../../review/findings";
import { renderPage } from "../../review/page";
import { readPlan } from "../../review/plan";
import { parseSettings } from "../../settings/load";
import { synthesizeCluster, synthesizeConstructs } from "../../testing/synthesize";
import { TerraformFolder } from "../../testing/terraform";

const SECRET = "correct horse battery staple";
const SECRET_BEFORE = "abracadabra";

interface Planned {
  readonly address: string;
  readonly action_reason?: string;
  readonly previous_address?: string;
  readonly change: object;
}

function plan(...changes: readonly Planned[]): string {
  return JSON.stringify({
    format_version: "1.2",
    resource_changes: changes.map((each) => ({ mode: "managed", ...each })),
  });
}

const UPDATE = { actions: ["update"], before: { size: 1 }, after: { size: 2 }, after_unknown: {} };

test("takes actions, arguments and the reason for a replacement from the plan", () => {
  const changes = readPlan(
    plan(
      { address: "aws_lb.a", change: UPDATE },
      { address: "aws_lb.b", change: { actions: ["no-op"], before: { size: 1 }, after: { size: 1 } } },
      {
        address: "aws_lb.c",
        change: { actions: ["create"], before: null, after: { size: 1 }, after_unknown: { id: true } },
      },
      { address: "aws_lb.d", change: { actions: ["delete"], before: { size: 1 }, after: null } },
      {
        address: "aws_instance.e",
        change: {
          actions: ["delete", "create"],
          before: { subnet: "s-1", id: "i-1", size: 1 },
          after: { size: 2 },
          after_unknown: { subnet: true, id: true },
          replace_paths: [["subnet"]],
        },
      },
      {
        address: "data.aws_ami.f",
        change: { actions: ["read"], before: null, after: {} },
      },
    ),
  );
  expect(changes.resources.map(({ address, action }) => `${address} ${action}`)).toEqual([
    "aws_instance.e replace",
    "aws_lb.a update",
    "aws_lb.c create",
    "aws_lb.d destroy",
  ]);
  expect(changes.resources[0]?.arguments).toEqual([
    { path: "size", before: 1, after: 2, action: "update", unknown: true, note: "unknown to this page: read the plan" },
    { path: "subnet", before: "s-1", after: "(known after apply)", action: "replace" },
  ]);
  expect(findingsOf(changes).map(({ kind }) => kind)).toEqual(["replace-machine", "replace-load-balancer", "unknown"]);
});

test("the page has the reason in words, the address before a move, and the restart for another instance type", () => {
  const same = { before: { size: 1 }, after: { size: 1 }, after_unknown: {} };
  const page = renderPage(
    readPlan(
      plan(
        {
          address: "null_resource.a",
          action_reason: "replace_because_tainted",
          change: { ...same, actions: ["delete", "create"] },
        },
        { address: "null_resource.b", action_reason: "a_new_one", change: { ...same, actions: ["delete", "create"] } },
        { address: "aws_lb.c", previous_address: "aws_lb.old", change: { ...same, actions: ["no-op"] } },
        {
          address: "aws_instance.d",
          change: { ...UPDATE, before: { instance_type: "t2.micro" }, after: { instance_type: "t3.small" } },
        },
      ),
    ),
  );
  expect(page).toContain("`null_resource.a`: replaced, because an earlier apply did not finish it\n");
  expect(page).toContain("`null_resource.b`: replaced, `a_new_one`\n");
  expect(page).toContain("`aws_lb.c`: without effect, moved from `aws_lb.old`\n");
  expect(page).toContain("`aws_instance.d`: restarted\n");
  expect(page).toContain("**Findings: restart-machine.** 1 restarted, 2 replaced, 1 without effect.");
});

test("lists outputs, and masks those that are or were sensitive", () => {
  const note = "affects only readers of the output";
  const { elsewhere } = readPlan(
    JSON.stringify({
      format_version: "1.2",
      output_changes: {
        unmarked: { actions: ["update"], before: "old", after: SECRET, before_sensitive: true, after_sensitive: false },
        key: { actions: ["create"], before: null, after: SECRET, after_sensitive: true },
        nodes: { actions: ["update"], before: 1, after: null, after_unknown: true },
        old: { actions: ["delete"], before: 1, after: null },
        same: { actions: ["no-op"], before: 1, after: 1 },
      },
    }),
  );
  expect(elsewhere).toEqual([
    { path: "output.unmarked", before: "(sensitive)", after: "(sensitive)", action: "none", note },
    { path: "output.unmarked.sensitive", before: true, after: false, action: "none", note },
    { path: "output.key", before: undefined, after: "(sensitive)", action: "none", note },
    { path: "output.nodes", before: 1, after: "(known after apply)", action: "none", note },
    { path: "output.old", before: 1, after: undefined, action: "none", note },
  ]);
  expect(findingsOf({ resources: [], counts: [], copies: [], elsewhere })).toEqual([{ kind: "secret", addresses: [] }]);
});

test("counts the resources of each type in the state before and after", () => {
  const made = { after: { size: 1 }, after_unknown: {} };
  const { counts } = readPlan(
    plan(
      { address: "aws_lb.a", change: { ...made, actions: ["no-op"], before: { size: 1 } } },
      { address: "aws_lb.b", change: { ...made, actions: ["create"], before: null } },
      { address: "aws_lb.c", change: { ...made, actions: ["no-op"], before: { size: 1 }, importing: { id: "c" } } },
      { address: "aws_vpc.a", change: { actions: ["delete"], before: {}, after: null } },
      { address: "aws_vpc.b", change: { actions: ["forget"], before: {}, after: null } },
      { address: "aws_vpc.c", change: { ...made, actions: ["delete", "create"], before: {} } },
    ),
  );
  expect(counts).toEqual([
    { type: "aws_lb", before: 1, after: 3 },
    { type: "aws_vpc", before: 3, after: 1 },
  ]);
});

test("a rule that was open before, and only gets another group, is no rule that the plan opens", () => {
  const rule = { cidr_ipv4: "0.0.0.0/0", ip_protocol: "tcp", from_port: 22, to_port: 22 };
  const moved = {
    address: "aws_vpc_security_group_ingress_rule.ssh",
    change: {
      actions: ["delete", "create"],
      before: { ...rule, security_group_id: "sg-1" },
      after: rule,
      after_unknown: { security_group_id: true },
      replace_paths: [["security_group_id"]],
    },
  };
  const api = { ...rule, from_port: 6443, to_port: 6443 };
  const opened = {
    address: "aws_vpc_security_group_ingress_rule.api",
    change: { actions: ["create"], before: null, after: api, after_unknown: { security_group_id: true } },
  };
  const [finding] = findingsOf(readPlan(plan(moved, opened)));
  expect(finding).toMatchObject({ kind: "open-world", addresses: [opened.address] });
});

const kindsOf = (json: string) => findingsOf(readPlan(json)).map(({ kind }) => kind);
const fixture = (name: string) => readFileSync(join(__dirname, "plans", `${name}.json`), "utf8");

describe("the findings of a plan", () => {
  test.each([
    ["resources-in-a-module", ["open-world", "replace-ca", "replace-machine"]],
    ["other-open-rules", ["open-world", "unknown"]],
    ["partly-unknown", ["open-world", "unknown"]],
    ["an-exposed-output", ["secret"]],
    ["exposed-keys", ["secret", "commands"]],
    ["commands", ["commands"]],
    ["a-deposed-object", []],
    ["imported-and-replaced", ["replace-machine"]],
    ["targeted", ["partial", "unknown"]],
    ["carriage-returns", ["user-data", "replace-machine"]],
  ])("%s", (name, kinds) => {
    expect(kindsOf(fixture(name))).toEqual(kinds);
  });

  const create = (after: object, more: object = {}) => ({
    change: { actions: ["create"], before: null, after, after_unknown: {}, ...more },
  });

  test.each<[string, string[], object]>([
    [
      "a module in a module",
      ["destroy-machine"],
      {
        address: 'module.a["x.y"].module.b[0].aws_instance.c["d"]',
        change: { actions: ["delete"], before: {}, after: null },
      },
    ],
    [
      "a network ACL that is open",
      ["open-world", "unknown"],
      {
        address: "aws_network_acl_rule.a",
        type: "aws_network_acl_rule",
        ...create({ cidr_block: "0.0.0.0/0", egress: false }),
      },
    ],
    [
      "an open rule for IPv6 in a default group",
      ["open-world", "unknown"],
      { address: "aws_default_security_group.a", ...create({ ingress: [{ ipv6_cidr_blocks: ["::/0"] }] }) },
    ],
    [
      "a rule to the internet",
      ["access"],
      { address: "aws_vpc_security_group_egress_rule.a", ...create({ cidr_ipv4: "0.0.0.0/0", ip_protocol: "-1" }) },
    ],
    ["a resource type that the table does not have", ["unknown"], { address: "aws_iam_role.a", ...create({}) }],
    [
      "a disk that gets smaller",
      ["refused"],
      {
        address: "aws_instance.a",
        change: {
          actions: ["update"],
          before: { root_block_device: [{ volume_size: 20 }] },
          after: { root_block_device: [{ volume_size: 10 }] },
          after_unknown: {},
        },
      },
    ],
    [
      "a disk that gets larger",
      [],
      {
        address: "aws_instance.a",
        change: {
          actions: ["update"],
          before: { root_block_device: [{ volume_size: 10 }] },
          after: { root_block_device: [{ volume_size: 20 }] },
          after_unknown: {},
        },
      },
    ],
    [
      "the replaced key of the service accounts",
      ["replace-service-account-key"],
      {
        address: "tls_private_key.service-account-private-key",
        change: { actions: ["delete", "create"], before: {}, after: {} },
      },
    ],
    [
      "a value that is no longer sensitive",
      ["secret"],
      {
        address: "aws_key_pair.a",
        change: {
          actions: ["update"],
          before: { tags: { a: "1" } },
          after: { tags: { a: "1", b: "2" } },
          before_sensitive: { tags: true },
          after_sensitive: {},
        },
      },
    ],
  ])("%s", (_case, kinds, change) => {
    expect(kindsOf(plan(change as Planned))).toEqual(kinds);
  });

  test.each([
    [
      "a provider from another registry",
      ["provider"],
      { provider_config: { null: { full_name: "registry.example.com/evil/null" } }, root_module: {} },
    ],
    [
      "a data source that runs a program",
      ["unknown"],
      { root_module: { resources: [{ address: "data.external.a", mode: "data", type: "external", expressions: {} }] } },
    ],
    [
      "an ephemeral resource, if Terraform lists it",
      ["unknown"],
      { root_module: { resources: [{ address: "ephemeral.a_b.c", mode: "ephemeral", type: "a_b", expressions: {} }] } },
    ],
    [
      "a data source in a module in a module",
      ["unknown"],
      {
        root_module: {
          module_calls: {
            a: {
              module: { module_calls: { b: { module: { resources: [{ address: "data.http.c", mode: "data" }] } } } },
            },
          },
        },
      },
    ],
    ["actions", ["unknown"], { root_module: { actions: [{ address: "action.a_b.c" }] } }],
    ["actions in a module", ["unknown"], { root_module: { module_calls: { a: { module: { actions: [{}] } } } } }],
    [
      "a module whose name is data",
      [],
      {
        root_module: {
          module_calls: { data: { module: { resources: [{ address: "null_resource.a", mode: "managed" }] } } },
        },
      },
    ],
    [
      "the sections of this project's configuration",
      [],
      { root_module: { outputs: {}, resources: [], variables: {}, module_calls: {} } },
    ],
  ])("%s", (_case, kinds, configuration) => {
    expect(kindsOf(JSON.stringify({ format_version: "1.2", planned_values: {}, configuration }))).toEqual(kinds);
  });

  describe("a provider's configuration", () => {
    const HASHICORP = "registry.terraform.io/hashicorp";
    const own = {
      aws: {
        name: "aws",
        full_name: `${HASHICORP}/aws`,
        version_constraint: "6.25.0",
        expressions: {
          region: { constant_value: "eu-central-1" },
          default_tags: [{ tags: { constant_value: { Cluster: "a" } } }],
        },
      },
      null: { name: "null", full_name: `${HASHICORP}/null` },
      tls: { name: "tls", full_name: `${HASHICORP}/tls` },
    };
    const pageWith = (more: object) => {
      const provider_config = { ...own, ...more };
      return renderPage(
        readPlan(JSON.stringify({ format_version: "1.2", planned_values: {}, configuration: { provider_config } })),
      );
    };
    const SECRET_PROXY = "http://user:hunter2@example.com:8080";
    const proxy = { constant_value: SECRET_PROXY };

    test("of this project has no finding", () => {
      expect(pageWith({})).toContain("**Nothing changes.**");
      expect(pageWith({ aws: { ...own.aws, expressions: {} } })).toContain("**Nothing changes.**");
    });

    test.each<[string, object, string]>([
      [
        "a proxy",
        { aws: { ...own.aws, expressions: { ...own.aws.expressions, https_proxy: proxy } } },
        "provider.aws.https_proxy",
      ],
      [
        "no check of certificates",
        { aws: { ...own.aws, expressions: { insecure: { constant_value: true } } } },
        "provider.aws.insecure",
      ],
      ["an endpoint", { aws: { ...own.aws, expressions: { endpoints: [{ ec2: proxy }] } } }, "provider.aws.endpoints"],
      [
        "a proxy of another provider",
        { tls: { ...own.tls, expressions: { proxy: [{ url: proxy }] } } },
        "provider.tls.proxy",
      ],
      ["an alias", { "aws.other": { ...own.aws, alias: "other" } }, "provider.aws.other"],
      [
        "a place in a module",
        { "module.m:aws": { ...own.aws, module_address: "module.m" } },
        "provider.module.m:aws.region",
      ],
      [
        "credentials",
        { "aws.b": { ...own.aws, alias: "b", expressions: { secret_key: { constant_value: "hunter2" } } } },
        "provider.aws.b",
      ],
      ["another source", { null: { full_name: "registry.example.com/a/null" } }, "terraform.required_providers.null"],
    ])("with %s has a finding, without the value", (_case, more, path) => {
      const page = pageWith(more);
      expect(page).toContain("**Findings: provider.**");
      expect(page).toContain(`| \`${path}\` |`);
      expect(page).not.toContain("hunter2");
    });
  });

  test("a plan that invokes actions, or that defers changes, does not pass for an empty plan", () => {
    const empty = { format_version: "1.2", planned_values: {} };
    expect(renderPage(readPlan(JSON.stringify(empty)))).toContain("**Nothing changes.**");
    expect(kindsOf(JSON.stringify({ ...empty, deferred_changes: [{}] }))).toEqual(["partial"]);
    expect(kindsOf(JSON.stringify({ ...empty, action_invocations: [{ address: "action.a" }] }))).toEqual(["unknown"]);
  });

  /** The arguments of the lookup of a release's image. */
  const LOOKUP = {
    owners: ["099720109477"],
    most_recent: true,
    filter: [
      { name: "root-device-type", values: ["ebs"] },
      { name: "architecture", values: ["x86_64"] },
      { name: "name", values: ["ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-*"] },
    ],
  };

  const constants = (values: object) =>
    Object.fromEntries(Object.entries(values).map(([key, value]) => [key, { constant_value: value }]));

  const filtered = (name: string, value: string) => ({
    filter: LOOKUP.filter.map((each) => (each.name === name ? { name, values: [value] } : each)),
  });

  test.each<[string, object, string[], object?]>([
    ["the newest of a release", {}, []],
    ["the newest of another release", filtered("name", "ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-*"), []],
    ["without deprecated images", { include_deprecated: false }, []],
    ["of another account", { owners: ["123456789012"] }, ["image"]],
    ["of two accounts", { owners: ["099720109477", "123456789012"] }, ["image"]],
    ["of an old release", filtered("name", "ubuntu/images/hvm-ssd/ubuntu-xenial-16.04-amd64-server-*"), ["image"]],
    ["of any name", filtered("name", "*"), ["image"]],
    ["with deprecated images", { include_deprecated: true }, ["image"]],
    ["any of several", { most_recent: false }, ["image"]],
    ["of a name expression", { name_regex: "2016" }, ["image"]],
    ["with one more filter", { filter: [...LOOKUP.filter, { name: "creation-date", values: ["2016*"] }] }, ["image"]],
    ["by its id", {}, ["image"], { constant_value: "ami-1" }],
  ])(
    "a new machine's image: %s",
    (_case, lookup, kinds, ami = { references: ["data.aws_ami.u.id", "data.aws_ami.u"] }) => {
      const resources = [
        { address: "aws_instance.a", mode: "managed", expressions: { ami } },
        { address: "data.aws_ami.u", mode: "data", expressions: constants({ ...LOOKUP, ...lookup }) },
      ];
      const json = {
        ...JSON.parse(plan({ address: "aws_instance.a", ...create({ ami: "ami-1" }) })),
        configuration: { root_module: { resources } },
      };
      expect(kindsOf(JSON.stringify(json))).toEqual(kinds);
    },
  );

  describe("a copy that is made", () => {
    const SETTINGS = { copies: { kubeconfigs: true, encryptionConfig: true } };
    type Block = Record<string, unknown>;
    type Provisioner = Record<string, Record<string, unknown>>;

    /** The plan of a synthesized cluster in which all copies are made again. Terraform keeps JSON's expressions as they are. */
    function planOfCopies(document: { readonly resource: object }): string {
      const blocks = Object.entries(document.resource as Record<string, Record<string, Block>>).flatMap(
        ([type, byName]) =>
          Object.entries(byName).map(([name, block]) => ({ type, address: `${type}.${name}`, block })),
      );
      const resources = blocks.map(
        ({ type, address, block: { provisioner, connection: _, "//": _notes, ...block } }) => ({
          address,
          mode: "managed",
          type,
          expressions: constants(block),
          ...(provisioner !== undefined && {
            provisioners: (provisioner as Provisioner[]).flatMap((each) =>
              Object.entries(each).map(([type, { connection: _hidden, ...values }]) => ({
                type,
                expressions: constants(values),
              })),
            ),
          }),
        }),
      );
      const copies = blocks.filter(({ type }) => type === "null_resource");
      return JSON.stringify({
        ...JSON.parse(plan(...copies.map(({ address }) => ({ address, ...create({}) })))),
        configuration: { root_module: { resources } },
      });
    }

    type Copy = { readonly files: DistributedFile[]; readonly contents: string[] };

    /** The findings with a plan in which one copy is changed. */
    function withChanged(id: string, change: (copy: Copy) => void, json = synthesizeCluster(SETTINGS)) {
      const [block] = Object.entries(resourcesOf(json, "null_resource")).flatMap(([name, each]) =>
        name.includes(id) ? [each as { provisioner: Provisioner[] }] : [],
      );
      const [, bundle, script] = (block as { provisioner: Provisioner[] }).provisioner as [
        Provisioner,
        Provisioner,
        Provisioner,
      ];
      const read = readDistributionScript(script["remote-exec"]?.inline as string[]);
      const contents = String(bundle.file?.content).split("\n").slice(0, -2);
      const copy = { files: [...(read?.files ?? [])], contents };
      change(copy);
      (script["remote-exec"] as Block).inline = distributionScript(copy.files);
      (bundle.file as Block).content = [...copy.contents, bundleEnd(copy.files), ""].join("\n");
      const changes = readPlan(planOfCopies(json));
      const kinds = findingsOf(changes).map(({ kind }) => kind);
      return { kinds, copies: changes.copies.map(({ file }) => file), page: renderPage(changes) };
    }

    const edit = (from: string | RegExp, to: string) => (copy: Copy) => {
      const edited = copy.contents.map((content) => content.replace(from, to));
      expect(edited).not.toEqual(copy.contents);
      copy.contents.splice(0, edited.length, ...edited);
    };
    const add =
      (path: string, content: string, mode = "0644", owner = "ubuntu") =>
      (copy: Copy) => {
        copy.files.push({ path, mode, owner } as DistributedFile);
        copy.contents.push(content);
      };
    const CA_KEY = "$" + "{base64encode(tls_private_key.ca-private-key.private_key_pem)}";

    test("has no findings if it has the files of its machine, in a stack of its own too", () => {
      const nothing = { kinds: [], copies: [] };
      expect(withChanged("worker-0", () => {})).toMatchObject(nothing);
      expect(withChanged("worker-0", () => {}, synthesizeCluster())).toMatchObject(nothing);
      expect(
        withChanged(
          "worker-0",
          () => {},
          synthesizeConstructs((scope) => {
            new Cluster(scope, "mine", parseSettings(SETTINGS));
          }),
        ),
      ).toMatchObject(nothing);
    });

    test.each<[string, (copy: Copy) => void, string, string[]]>([
      ["another file with the CA's key", add("/home/ubuntu/x.pem", CA_KEY), "/home/ubuntu/x.pem", ["secret", "copies"]],
      ["a cron job of root", add("/etc/cron.d/x", "KiAqICog", "0644", "root"), "/etc/cron.d/x", ["copies"]],
      ["a shell's start file", add("/home/ubuntu/.profile", "KiAqICog"), "/home/ubuntu/.profile", ["copies"]],
      [
        "the key of another machine",
        edit("worker-0-private-key", "worker-1-private-key"),
        "/home/ubuntu/k8s-cluster-from-ground-up-worker-0-key.pem",
        ["secret", "copies"],
      ],
      [
        "a key that others may read",
        ({ files }) => files.splice(2, 1, { ...(files[2] as DistributedFile), mode: "0644" }),
        "/home/ubuntu/k8s-cluster-from-ground-up-worker-0-key.pem",
        ["secret", "copies"],
      ],
      [
        "another CA",
        edit(/(?<=^..base64encode.)tls_self_signed_cert.ca-certificate/, "tls_self_signed_cert.other"),
        "/home/ubuntu/ca.pem",
        ["copies"],
      ],
      ["a literal content", edit(/^.*ca-certificate.cert_pem\)}$/, "KiAqICog"), "/home/ubuntu/ca.pem", ["copies"]],
      [
        "a kubeconfig with another server",
        edit("server: https://", "server: https://example.com/"),
        "/home/ubuntu/kube-proxy.kubeconfig",
        ["secret", "copies"],
      ],
      [
        "a kubeconfig with a command",
        edit("preferences: {}", String.raw`preferences: {}\n\"exec\": {command: id}`),
        "/home/ubuntu/kube-proxy.kubeconfig",
        ["secret", "copies"],
      ],
    ])("has a finding with %s", (_case, change, file, kinds) => {
      const found = withChanged("worker-0", change);
      expect(found.kinds).toEqual(kinds);
      expect(found.copies).toContain(file);
      expect(found.page).toContain(`| \`null_resource.pems-worker-0\` | \`${file}\` | not of this project |`);
    });

    test("has a finding if a worker gets a master's file, or a resource of another name copies", () => {
      const kinds = (from: string, to: string) =>
        kindsOf(planOfCopies(JSON.parse(JSON.stringify(synthesizeCluster(SETTINGS)).replace(from, to))));
      expect(kinds('"pems-master-0":', '"pems-worker-9":')).toEqual(["secret", "copies"]);
      expect(kinds('"pems-worker-0":', '"pems-worker-0-and-more":')).toEqual(["secret", "copies"]);
    });
  });

  test.each([
    ["is destroyed because of its count", ["delete"], "null_resource.a[0]", "delete_because_count_index"],
    ["is destroyed because of its for_each", ["delete"], 'null_resource.a["x"]', "delete_because_each_key"],
    ["is destroyed and created again", ["create", "delete"], "null_resource.a", "replace_by_request"],
  ])("a resource that %s may run commands at that time", (_case, actions, address, action_reason) => {
    const withProvisioners = (provisioners?: object[]) =>
      kindsOf(
        JSON.stringify({
          ...JSON.parse(plan({ address, action_reason, change: { actions, before: {}, after: null } })),
          configuration: {
            root_module: { resources: [{ address: "null_resource.a", expressions: {}, provisioners }] },
          },
        }),
      );
    expect(withProvisioners([{ type: "local-exec", expressions: { command: { constant_value: "id" } } }])).toEqual([
      "commands",
    ]);
    expect(withProvisioners()).toEqual([]);
  });

  test.each<[string, object, string[]]>([
    ["a dynamic block", { ingress: [{ cidr_blocks: ["64.0.0.0/8"], protocol: "-1", description: "" }] }, ["unknown"]],
    ["another dynamic block", { egress: [{ from_port: 0 }], name: "a" }, ["unknown"]],
    [
      "no dynamic block",
      { name: "a", revoke_rules_on_delete: false, tags_all: { Cluster: "a" }, timeouts: null, ingress: [] },
      [],
    ],
  ])("a new resource with %s, which the configuration in a plan does not have", (_case, after, kinds) => {
    const change = { address: "aws_security_group.a", ...create(after) };
    const configuration = {
      root_module: { resources: [{ address: change.address, expressions: { name: { constant_value: "a" } } }] },
    };
    expect(kindsOf(JSON.stringify({ ...JSON.parse(plan(change)), configuration }))).toEqual(kinds);
  });

  describe("a machine that is added to others", () => {
    const USUAL = {
      ami: "$" + "{data.aws_ami.u.id}",
      key_name: "$" + "{aws_key_pair.key-pair.key_name}",
      vpc_security_group_ids: ["$" + "{aws_security_group.a.id}"],
    };
    const added = (values: object, others = ["aws_instance.worker-0"]) => {
      const resources = [
        ...others.map((address) => ({ address, expressions: constants(USUAL) })),
        { address: "aws_instance.worker-1", expressions: constants({ ...USUAL, ...values }) },
        { address: "data.aws_ami.u", mode: "data", expressions: constants(LOOKUP) },
      ];
      const change = { address: "aws_instance.worker-1", ...create({}) };
      return kindsOf(JSON.stringify({ ...JSON.parse(plan(change)), configuration: { root_module: { resources } } }));
    };

    test.each<[string, object, string[]]>([
      ["the values of the others", {}, []],
      ["a key made elsewhere", { key_name: "bobs-key" }, ["login-key"]],
      ["another key of the configuration", { key_name: "$" + "{aws_key_pair.b.key_name}" }, ["login-key"]],
      [
        "one more group",
        { vpc_security_group_ids: [...USUAL.vpc_security_group_ids, "sg-0123456789abcdef0"] },
        ["access"],
      ],
      ["a group of its own", { vpc_security_group_ids: ["$" + "{aws_security_group.b.id}"] }, ["access"]],
    ])("with %s", (_case, values, kinds) => {
      expect(added(values)).toEqual(kinds);
    });

    test("is compared only with machines that existed", () => {
      expect(added({ key_name: "bobs-key" }, [])).toEqual([]);
    });
  });

  test.each<[string, object, string[]]>([
    ["stays as it is", { actions: ["no-op"], before: {}, after: {} }, ["import"]],
    ["changes", { actions: ["update"], before: { tags: {} }, after: { tags: { a: "b" } } }, ["import"]],
    ["is replaced", { actions: ["delete", "create"], before: {}, after: {} }, ["replace-machine"]],
  ])("an imported machine that %s", (_case, change, kinds) => {
    const imported = { importing: { id: "i-1" }, after_unknown: {}, ...change };
    expect(kindsOf(plan({ address: "aws_instance.worker-1", change: imported }))).toEqual(kinds);
    expect(kindsOf(plan({ address: "aws_instance.worker-1", change: { ...imported, importing: null } }))).not.toContain(
      "import",
    );
  });

  test("an output or an argument that refers to a private key is found before the key exists", () => {
    const references = ["tls_private_key.a.private_key_pem", "tls_private_key.a"];
    const output = { actions: ["create"], before: null, after_unknown: true, before_sensitive: false };
    const withOutput = (after_sensitive: boolean) =>
      JSON.stringify({
        format_version: "1.2",
        output_changes: { key: { ...output, after_sensitive } },
        configuration: { root_module: { outputs: { key: { expression: { references } } } } },
      });
    expect(kindsOf(withOutput(false))).toEqual(["secret"]);
    expect(kindsOf(withOutput(true))).toEqual([]);
    const tagged = {
      ...JSON.parse(plan({ address: "aws_vpc.a", ...create({}) })),
      configuration: { root_module: { resources: [{ address: "aws_vpc.a", expressions: { tags: { references } } }] } },
    };
    expect(kindsOf(JSON.stringify(tagged))).toEqual(["secret"]);
  });
});

describe("the page of a plan", () => {
  const page = (name: string) => renderPage(readPlan(fixture(name)));

  test.each([
    [
      "a-deposed-object",
      "`aws_lb.load-balancer`: cleaned up, left from an earlier replacement; the resource itself stays",
    ],
    ["imported-and-replaced", "`aws_instance.worker-2`: replaced, imported, because it cannot change in place"],
    ["partly-unknown", '"cidr_blocks":["0.0.0.0/0"],"from_port":22'],
    ["an-exposed-output", "`(private key, not marked as sensitive)`"],
    ["targeted", "The plan leaves changes out"],
  ])("of %s has: %s", (name, text) => {
    expect(page(name)).toContain(text);
  });

  test.each(["\r", "\u2028", "\u2029", "\u0085", "\u000b", "\u202e", "\u001b"])(
    "has no raw line end or control character: %j",
    (character) => {
      const change = { ...UPDATE, after: { size: `a${character}b` } };
      const text = renderPage(readPlan(plan({ address: "aws_lb.a", change })));
      expect(text).not.toContain(character);
      expect(text.split("\n").filter((line) => line.startsWith("| `size`"))).toHaveLength(1);
    },
  );

  test("has addresses and values as code, whatever they contain", () => {
    const text = renderPage(
      readPlan(
        plan(
          { address: 'aws_instance.a["`x`"]', change: { actions: ["delete"], before: {}, after: null } },
          { address: "aws_lb.b", change: { ...UPDATE, after: { size: "<em>b</em>" } } },
        ),
      ),
    );
    expect(text).toContain('`` aws_instance.a["`x`"] ``: destroyed');
    expect(text).toContain("`<em>b</em>`");
  });

  test.each([
    ["over the elements of a list", { list: ["-----BEGIN RSA PRIV", "ATE KEY-----", "topsecret"] }],
    ["in the key of a map", { map: { "-----BEGIN PRIVATE KEY-----topsecret": "x" } }],
    ["in base64", { b: Buffer.from("-----BEGIN PRIVATE KEY-----\ntopsecret\n").toString("base64") }],
    [
      "in base64 twice",
      { b: Buffer.from(Buffer.from("-----BEGIN PRIVATE KEY-----\ntopsecret\n").toString("base64")).toString("base64") },
    ],
    [
      "in text with base64",
      { b: `client-key-data: ${Buffer.from("-----BEGIN EC PRIVATE KEY-----\ntopsecret").toString("base64")}` },
    ],
  ])("masks a private key %s, and reports it", (_case, after) => {
    const json = plan({ address: "aws_vpc.a", change: { actions: ["create"], before: null, after: { tags: after } } });
    const shown = JSON.stringify(readPlan(json)) + renderPage(readPlan(json));
    expect(shown).not.toMatch(/topsecret|dG9wc2VjcmV0|BEGIN/);
    for (const value of JSON.stringify(after).match(/[A-Za-z0-9+/=]{40,}/g) ?? []) expect(shown).not.toContain(value);
    expect(kindsOf(json)).toEqual(["secret"]);
  });

  describe("masks a private key outside of planned values, and reports it", () => {
    const PEM = "-----BEGIN PRIVATE KEY-----\ntopsecret\n-----END PRIVATE KEY-----\n";
    const key = (text: string) => JSON.stringify(text);
    const change = { actions: ["create"], before: null, after: {} };
    const base64 = Buffer.from(PEM).toString("base64");
    const withConfiguration = (resource: object) =>
      JSON.stringify({
        format_version: "1.2",
        planned_values: {},
        configuration: { root_module: { resources: [{ mode: "data", expressions: {}, ...resource }] } },
      });

    test.each<[string, string, string[]]>([
      ["a key of for_each", plan({ address: `null_resource.a[${key(PEM)}]`, change }), ["secret"]],
      ["a key of for_each in base64", plan({ address: `null_resource.a[${key(base64)}]`, change }), ["secret"]],
      ["a module's key", plan({ address: `module.m[${key(PEM)}].null_resource.a`, change }), ["secret"]],
      [
        "the address before a move",
        plan({ address: "null_resource.a", previous_address: `null_resource.a[${key(PEM)}]`, change }),
        ["secret"],
      ],
      [
        "a data source",
        withConfiguration({ address: "data.a_b.c", expressions: { key: { constant_value: PEM } } }),
        ["secret", "unknown"],
      ],
      [
        "a data source's nested argument",
        withConfiguration({ address: "data.a_b.c", expressions: { a: [{ b: { constant_value: { c: base64 } } }] } }),
        ["secret", "unknown"],
      ],
      [
        "the name of a provider",
        JSON.stringify({
          format_version: "1.2",
          planned_values: {},
          configuration: { provider_config: { a: { full_name: `example.com/a/${base64}` } } },
        }),
        ["secret", "provider"],
      ],
    ])("%s", (_case, json, kinds) => {
      const { before: _before, after: _after, ...changes } = readPlan(json);
      const shown = JSON.stringify(changes) + renderPage(readPlan(json));
      expect(shown).not.toMatch(/topsecret|BEGIN/);
      expect(shown).not.toContain(base64.slice(40, 60));
      expect(kindsOf(json)).toEqual(kinds);
    });
  });

  test("does not take a certificate or a public key for a private key", () => {
    const pem = "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUQ\n-----END CERTIFICATE-----\n";
    const json = plan({
      address: "aws_vpc.a",
      change: { ...UPDATE, before: {}, after: { tags: { a: pem, b: Buffer.from(pem).toString("base64") } } },
    });
    expect(kindsOf(json)).toEqual([]);
    expect(renderPage(readPlan(json))).toContain("BEGIN CERTIFICATE");
  });

  test("has the arguments of a resource that is sensitive as a whole, masked", () => {
    const change = { actions: ["create"], before: null, after: { a: SECRET, b: SECRET }, after_sensitive: true };
    expect(readPlan(plan({ address: "aws_vpc.a", change })).resources[0]?.settings).toEqual({
      a: "(sensitive)",
      b: "(sensitive)",
    });
  });

  test("has an output that changes and is sensitive before and after", () => {
    const hidden = { before_sensitive: true, after_sensitive: true };
    const output_changes = { o: { actions: ["update"], before: SECRET, after: `${SECRET}2`, ...hidden } };
    const page = renderPage(readPlan(JSON.stringify({ format_version: "1.2", output_changes })));
    expect(page).toContain(" - `o`: changed, `(sensitive)`\n");
    expect(page).not.toContain(SECRET);
  });

  test("has no key of an output that is sensitive and known in part", () => {
    const change = { actions: ["create"], before: null, after: { a: "A" }, after_unknown: { b: true } };
    const output = (after_sensitive: boolean) => {
      const json = { format_version: "1.2", output_changes: { o: { ...change, after_sensitive } } };
      return renderPage(readPlan(JSON.stringify(json)));
    };
    expect(output(false)).toContain('`{"a":"A","b":"(known after apply)"}`');
    expect(output(true)).toContain("`(sensitive)`");
    expect(output(true)).not.toContain("known after apply");
  });

  test("takes an argument with the name of a JavaScript property", () => {
    const names = ["constructor", "__proto__", "toString"];
    const values = (value: string) => JSON.parse(`{${names.map((name) => `"${name}":"${value}"`).join()}}`);
    const change = { actions: ["update"], before: values("a"), after: values("b"), after_unknown: {} };
    expect(readPlan(plan({ address: "aws_lb.a", change })).resources[0]?.arguments.map(({ path }) => path)).toEqual(
      [...names].sort(),
    );
  });
});

test.each([
  [
    "a state",
    fixture("a-state"),
    "the plan must be from `terraform show -json PLAN` with the file of a plan, got a state",
  ],
  [
    "the output of `terraform validate -json`",
    '{"format_version":"1.0","valid":true,"diagnostics":[]}',
    "the plan must be from `terraform show -json PLAN` with the file of a plan, got another document of Terraform",
  ],
  [
    "the schemas of providers",
    '{"format_version":"1.0","provider_schemas":{}}',
    "the plan must be from `terraform show -json PLAN` with the file of a plan, got another document of Terraform",
  ],
  [
    "changes that are no list",
    '{"format_version":"1.2","resource_changes":{}}',
    "the plan's 'resource_changes' must be as Terraform writes it: Invalid input: expected array, received object",
  ],
  [
    "a change that is null",
    '{"format_version":"1.2","resource_changes":[null]}',
    "the plan's 'resource_changes.0' must be as Terraform writes it: Invalid input: expected object, received null",
  ],
  [
    "a resource without a change",
    '{"format_version":"1.2","resource_changes":[{"address":"a.b","mode":"managed"}]}',
    "the plan's 'resource_changes.0.change' must be as Terraform writes it: Invalid input: expected object, received undefined",
  ],
  [
    "a change without actions",
    '{"format_version":"1.2","resource_changes":[{"address":"a.b","mode":"managed","change":{}}]}',
    "the plan's 'resource_changes.0.change.actions' must be as Terraform writes it: Invalid input: expected array, received undefined",
  ],
  [
    "an address that is a number",
    '{"format_version":"1.2","resource_changes":[{"address":1,"mode":"managed","change":{"actions":["create"]}}]}',
    "the plan's 'resource_changes.0.address' must be as Terraform writes it: Invalid input: expected string, received number",
  ],
  [
    "`errored` as text",
    '{"format_version":"1.2","planned_values":{},"errored":"true"}',
    "the plan's 'errored' must be as Terraform writes it: Invalid input: expected boolean, received string",
  ],
  [
    "20,000 levels of nesting",
    `{"format_version":"1.2","resource_changes":${"[".repeat(20_000)}${"]".repeat(20_000)}}`,
    "the plan must have at most 200 levels of nesting",
  ],
])("refuses %s in one line", (_case, json, message) => {
  expect(() => readPlan(json)).toThrow(new UserError(message));
});

test("takes a byte order mark", () => {
  expect(readPlan(`\uFEFF${plan()}`).resources).toEqual([]);
});

test("a page of very many changes fits a comment and counts the omitted resources", () => {
  const many = Array.from({ length: 1000 }, (_each, index) => ({ address: `aws_lb.number-${index}`, change: UPDATE }));
  const page = renderPage(readPlan(plan(...many)));
  expect(page.length).toBeLessThan(56_000);
  const [, rest] = /and (\d+) more: `--format json` lists all\n\n<\/details>\n$/.exec(page) ?? [];
  expect(page.split(": changed in place").length - 1 + Number(rest)).toBe(1000);
  expect(page).toContain("<details><summary>");
});

test("lists forgotten and imported resources, and values that become unknown in an update", () => {
  const same = { before: { size: 1 }, after: { size: 1 }, after_unknown: {} };
  const changes = readPlan(
    plan(
      { address: "aws_lb.a", change: { ...same, actions: ["forget"], after: null } },
      { address: "aws_lb.b", change: { ...same, actions: ["no-op"], importing: { id: "b" } } },
      { address: "aws_lb.c", change: { ...same, actions: ["create", "forget"] } },
      {
        address: "aws_lb.d",
        change: { actions: ["update"], before: { size: 1 }, after: {}, after_unknown: { size: true } },
      },
    ),
  );
  expect(changes.resources.map(({ address, action, imported }) => [address, action, imported])).toEqual([
    ["aws_lb.a", "forget", undefined],
    ["aws_lb.b", "none", true],
    ["aws_lb.c", "replace", undefined],
    ["aws_lb.d", "update", undefined],
  ]);
  expect(changes.resources.at(-1)?.arguments).toMatchObject([
    { path: "size", before: 1, after: "(known after apply)" },
  ]);
  expect(findingsOf(changes)).toContainEqual({ kind: "forget", addresses: ["aws_lb.a"] });
});

test("a table of very many copies is cut and counts the omitted rows", () => {
  const copies = Array.from({ length: 100 }, (_each, index) => ({
    address: `null_resource.number-${index}`,
    file: `${index}.pem`,
    change: "added" as const,
  }));
  const page = renderPage({ resources: [], counts: [], copies, elsewhere: [] });
  expect(page.split("| added |").length - 1).toBe(60);
  expect(page).toContain("and 40 more: `--format json` lists all");
});

test("no value can contain an HTML comment", () => {
  const change = { ...UPDATE, after: { size: "<!-- mine -->" } };
  expect(renderPage(readPlan(plan({ address: "aws_lb.a", change })))).not.toContain("<!--");
});

test("masks values that Terraform marks as sensitive, and values that look like a private key", () => {
  const page = renderPage(
    readPlan(
      plan({
        address: "tls_private_key.a",
        change: {
          actions: ["update"],
          before: { password: SECRET_BEFORE, list: [{ token: SECRET_BEFORE }], pem: "a", unmarked: SECRET_BEFORE },
          after: {
            password: SECRET,
            list: [{ token: SECRET }],
            pem: "-----BEGIN RSA PRIVATE KEY-----",
            unmarked: SECRET,
          },
          after_unknown: {},
          before_sensitive: { password: true, list: [{ token: true }], unmarked: true },
          after_sensitive: { password: true, list: [{ token: true }] },
        },
      }),
    ),
  );
  expect(page).toContain("`password`");
  expect(page).toContain("(sensitive)");
  expect(page).not.toContain(SECRET);
  expect(page).not.toContain(SECRET_BEFORE);
  expect(page).not.toContain("PRIVATE KEY");
});

test.each([
  ["text that is not JSON", "{", "the plan must be JSON from `terraform show -json`"],
  ["another format version", '{"format_version":"2.0"}', `the plan's 'format_version' must be 1.x, got: "2.0"`],
  [
    "a plan that failed",
    '{"format_version":"1.2","errored":true}',
    "the plan must be complete, got one that ended in an error",
  ],
  [
    "an unknown action",
    plan({ address: "aws_lb.a", change: { actions: ["dance"], before: {}, after: {} } }),
    "the plan's actions must be no-op or read or forget or create,forget or create or delete or update or delete,create or create,delete, got for aws_lb.a: dance",
  ],
  ["JSON that is no plan", "[]", "the plan's 'format_version' must be 1.x, got: undefined"],
  ["null", "null", "the plan's 'format_version' must be 1.x, got: undefined"],
])("refuses %s in one line", (_case, text, message) => {
  expect(() => readPlan(text)).toThrow(new UserError(message));
});

describeSuite("real Terraform", () => {
  const terraform = new TerraformFolder();
  afterAll(() => terraform.remove());

  test("reads a plan of real Terraform and masks its secret", async () => {
    const variable = { secret: { sensitive: true, default: SECRET } };
    const resource = (input: unknown, trigger: string) => ({
      variable,
      resource: { terraform_data: { a: { input, triggers_replace: [trigger] } } },
    });
    terraform.configure(resource("before", "one"));
    await terraform.run("init", "-no-color");
    await terraform.run("apply", "-auto-approve", "-no-color");
    terraform.configure(resource("$" + "{var.secret}", "two"));
    await terraform.run("plan", "-out=plan", "-no-color");
    const text = await terraform.run("show", "-json", "plan");
    expect(text).toContain(SECRET);

    const changes = readPlan(text);
    expect(changes.resources).toMatchObject([{ address: "terraform_data.a", action: "replace" }]);
    expect(renderPage(changes)).toContain("(sensitive)");
    expect(JSON.stringify(changes)).not.toContain(SECRET);
  });
});
