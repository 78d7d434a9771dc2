/**
 * Whether an instance type has an Arm processor: a1, t4g, m7gd, is4gen. The letter g after the number of the generation
 * stands for Graviton, AWS's Arm processor; a1, the first of them, has another name.
 * @see https://docs.aws.amazon.com/ec2/latest/instancetypes/instance-type-names.html
 */
export function isArm(type: string): boolean {
  return /^(a1|[a-z]+\d+g[a-z-]*)\./.test(type);
}

/**
 * Whether machines of an instance type run macOS only. They also need a dedicated host.
 * @see https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-mac-instances.html
 */
export function isMac(type: string): boolean {
  return type.startsWith("mac");
}

/** The memory that a control plane machine and a worker with Kubernetes need, in GiB. */
export const KUBERNETES_GIB = 2;

/** The smallest usual instance type with {@link KUBERNETES_GIB}. */
export const KUBERNETES_INSTANCE_TYPE = "t3.small";

/**
 * The memory of all instance types with less than {@link KUBERNETES_GIB}, in GiB.
 * @see https://docs.aws.amazon.com/ec2/latest/instancetypes/gp.html, and pg.html beside it for t1, m1 and c1
 */
const SMALL: Readonly<Record<string, number>> = {
  "t1.micro": 0.613,
  "m1.small": 1.7,
  "c1.medium": 1.7,
  ...Object.fromEntries(
    ["t2", "t3", "t3a", "t4g"].flatMap((family) => [
      [`${family}.nano`, 0.5],
      [`${family}.micro`, 1],
    ]),
  ),
};

/** The memory of an instance type with less than {@link KUBERNETES_GIB}, in GiB; undefined for every other type. */
export function smallMemory(type: string): number | undefined {
  return Object.hasOwn(SMALL, type) ? SMALL[type] : undefined;
}

/** The family of an instance type: `t2` of `t2.micro`. */
export function instanceFamily(type: string): string {
  return type.split(".")[0] as string;
}
