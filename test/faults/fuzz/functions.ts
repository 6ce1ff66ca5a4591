import type pg from 'pg'

/** A function of the schema, as the catalog describes it. */
export interface Callable {
  readonly name: string
  readonly arguments: readonly {
    readonly name: string
    readonly type: string
    readonly isOptional: boolean
  }[]
  /** SQLSTATEs that its comment names. */
  readonly documented: readonly string[]
}

/** A SQLSTATE in a comment: five characters, the first two of them a class. */
const SQL_STATE = /\b(?:[0-9][0-9A-Z]{4}|LE[0-9]{3})\b/g

/** Every function that somebody may be given the right to call, in a fixed order. Triggers cannot be called. */
export async function readCallables(superuser: pg.Client, admin: string): Promise<Callable[]> {
  const { rows } = await superuser.query<{
    name: string
    names: string[] | null
    types: string[]
    defaults: number
    comment: string
  }>(
    `SELECT p.proname AS name, p.proargnames AS names, p.pronargdefaults AS defaults, coalesce(obj_description(p.oid, 'pg_proc'), '') AS comment,
       ARRAY(SELECT format_type(t, NULL) FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS a (t, place) ORDER BY place) AS types
     FROM pg_proc p
     WHERE p.pronamespace = 'elect'::regnamespace AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
       AND has_function_privilege($1, p.oid, 'EXECUTE')
     ORDER BY p.proname, p.oid::regprocedure::text`,
    [admin],
  )
  const documented = (comment: string) => comment.match(SQL_STATE) ?? []
  return rows.map(({ name, names, types, defaults, comment }) => ({
    name,
    arguments: types.map((type, place) => ({
      name: names?.[place] ?? '',
      type,
      isOptional: place >= types.length - defaults,
    })),
    documented: [
      ...documented(comment),
      // "Errors: as release_lease"
      ...rows
        .filter((other) => new RegExp(`Errors: as ${other.name}\\b`).test(comment))
        .flatMap((other) => documented(other.comment)),
    ],
  }))
}
