import { testHalf } from './proof.ts'

testHalf(1)
