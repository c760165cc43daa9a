PRAGMA user_version=0;
BEGIN TRANSACTION;
CREATE TABLE collected (
	batch BIGINT NOT NULL, 
	part INTEGER NOT NULL, 
	sealed BLOB NOT NULL, 
	PRIMARY KEY (batch, part)
);
CREATE TABLE open_batch (
	batch BIGINT NOT NULL, 
	PRIMARY KEY (batch)
);
INSERT INTO "open_batch" VALUES(3);
CREATE TABLE submissions (
	outlet TEXT NOT NULL, 
	digest TEXT NOT NULL, 
	sealed BLOB NOT NULL, 
	PRIMARY KEY (outlet, digest)
);
COMMIT;
