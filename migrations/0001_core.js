import { fromSqlFile } from './support/from-sql-file.js'

export const { up, down } = fromSqlFile(1, 'install.sql')
