PRAGMA user_version=0;
BEGIN TRANSACTION;
CREATE TABLE alerts (
	day TEXT NOT NULL, 
	who TEXT NOT NULL, 
	at BIGINT NOT NULL, 
	quota BIGINT NOT NULL, 
	PRIMARY KEY (day, who)
);
CREATE TABLE evaluations (
	day TEXT NOT NULL, 
	outlet TEXT NOT NULL, 
	given BIGINT NOT NULL, 
	PRIMARY KEY (day, outlet)
);
INSERT INTO "evaluations" VALUES('2026-11-30','O2',116);
INSERT INTO "evaluations" VALUES('2026-11-30','O3',116);
INSERT INTO "evaluations" VALUES('2026-11-30','O1',116);
COMMIT;
