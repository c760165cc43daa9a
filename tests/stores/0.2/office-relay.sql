PRAGMA user_version=0;
BEGIN TRANSACTION;
CREATE TABLE batch_sizes (
	batch BIGINT NOT NULL, 
	messages BIGINT NOT NULL, 
	PRIMARY KEY (batch)
);
INSERT INTO "batch_sizes" VALUES(1,348);
INSERT INTO "batch_sizes" VALUES(2,348);
CREATE TABLE collected (
	batch BIGINT NOT NULL, 
	part INTEGER NOT NULL, 
	sealed BLOB NOT NULL, 
	PRIMARY KEY (batch, part)
);
CREATE TABLE last_closing (
	at BIGINT NOT NULL, 
	PRIMARY KEY (at)
);
INSERT INTO "last_closing" VALUES(1796052969);
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
