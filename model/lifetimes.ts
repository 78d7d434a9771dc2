import type { Problem } from "./formats";

/** How long certificates live, in hours. */
export interface PkiLifetimes {
  /** The CA's. */
  readonly caValidityHours: number;
  /** Every other certificate's, at most the CA's. */
  readonly validityHours: number;
  /** How long before its end an apply replaces a certificate. @default 0 (it is replaced once it has ended) */
  readonly earlyRenewalHours?: number;
  /**
   * How long before its end an apply replaces the authority's certificate, and with it every other. Its key stays.
   * @default - with early renewal, the other certificates' lifetime, so that none outlives it; without, 0
   */
  readonly caEarlyRenewalHours?: number;
}

/** How long certificates may live, in hours: up to a hundred years. */
export const VALIDITY_HOURS = { min: 1, max: 876_000 };

/** How early they may be renewed, in hours. */
export const RENEWAL_HOURS = { min: 0, max: 876_000 };

/** The lifetimes with what is not given filled in. */
export function resolveLifetimes(given: PkiLifetimes): Required<PkiLifetimes> {
  const { caValidityHours, validityHours, earlyRenewalHours = 0 } = given;
  const caEarlyRenewalHours = given.caEarlyRenewalHours ?? (earlyRenewalHours > 0 ? validityHours : 0);
  return { caValidityHours, validityHours, earlyRenewalHours, caEarlyRenewalHours };
}

/** What does not fit in these lifetimes: a certificate never outlives its authority, and renewal never runs in a circle. */
export function lifetimeProblems(given: PkiLifetimes): Problem[] {
  const { caValidityHours, validityHours, earlyRenewalHours, caEarlyRenewalHours } = resolveLifetimes(given);
  const rules: readonly (Problem & { readonly broken: boolean })[] = [
    {
      broken: validityHours > caValidityHours,
      name: "validityHours",
      allowed: `at most 'caValidityHours', ${caValidityHours}`,
      got: validityHours,
    },
    {
      broken: earlyRenewalHours >= validityHours,
      name: "earlyRenewalHours",
      allowed: `less than 'validityHours', ${validityHours}`,
      got: earlyRenewalHours,
    },
    {
      broken: caEarlyRenewalHours >= caValidityHours,
      name: "caEarlyRenewalHours",
      allowed: `less than 'caValidityHours', ${caValidityHours}`,
      got: caEarlyRenewalHours,
    },
    {
      broken: (earlyRenewalHours > 0 || caEarlyRenewalHours > 0) && caEarlyRenewalHours < validityHours,
      name: "caEarlyRenewalHours",
      allowed: `at least 'validityHours', ${validityHours}, or a certificate could outlive its authority`,
      got: caEarlyRenewalHours,
    },
  ];
  return rules.filter(({ broken }) => broken);
}
