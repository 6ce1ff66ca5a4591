import fc from 'fast-check'
import { testModel } from './model.ts'
import { asks, checkShares, lookAtShares, others } from './shares.ts'

const commands = fc.array(fc.oneof(asks(fc.boolean()), others), { minLength: 1, maxLength: 18 })

testModel('a read-write lock', commands, lookAtShares, (real, list) => checkShares(real, list, null))
