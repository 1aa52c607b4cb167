-- A store as revision cd37529 (schema 0001) wrote it, by sqlite3.Connection.iterdump.
BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE annotators (
	name TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	details TEXT NOT NULL, 
	since DOUBLE NOT NULL, 
	CONSTRAINT pk_annotators PRIMARY KEY (name)
);
INSERT INTO "annotators" VALUES('teacher:oracle','teacher','{"beta": null}',1000000.0);
INSERT INTO "annotators" VALUES('ann','person','{}',1000000.0);
INSERT INTO "annotators" VALUES('bob','person','{}',1000000.0);
CREATE TABLE answers (
	id INTEGER NOT NULL, 
	uuid TEXT NOT NULL, 
	query_id INTEGER, 
	annotator TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	payload TEXT NOT NULL, 
	display TEXT NOT NULL, 
	replay_id TEXT, 
	episode TEXT, 
	step INTEGER, 
	shown_at DOUBLE NOT NULL, 
	answered_at DOUBLE NOT NULL, 
	received_at DOUBLE NOT NULL, 
	CONSTRAINT pk_answers PRIMARY KEY (id), 
	CONSTRAINT uq_answers_uuid UNIQUE (uuid), 
	CONSTRAINT fk_answers_query_id_queries FOREIGN KEY(query_id) REFERENCES queries (id), 
	CONSTRAINT fk_answers_annotator_annotators FOREIGN KEY(annotator) REFERENCES annotators (name)
);
INSERT INTO "answers" VALUES(1,'u1',1,'ann','preference','{"choice":"left","strength":2}','[1, 0]',NULL,NULL,NULL,1.0,2.5,1000000.0);
INSERT INTO "answers" VALUES(2,'u2',2,'teacher:oracle','preference','{"choice":"equal","strength":1}','[0, 1]',NULL,NULL,NULL,3.0,4.0,1000000.0);
INSERT INTO "answers" VALUES(4,'u3',NULL,'ann','evaluation','{"seat":0,"value":0.5}','[]',NULL,'e1',9,5.0,6.0,1000000.0);
INSERT INTO "answers" VALUES(5,'u4',NULL,'ann','demonstration','{"length":20,"seat":0}','[]','2a06459f0f49e0d5c9bc2020a999e5fd',NULL,0,7.0,8.0,1000000.0);
CREATE TABLE clips (
	id TEXT NOT NULL, 
	length INTEGER NOT NULL, 
	json TEXT NOT NULL, 
	CONSTRAINT pk_clips PRIMARY KEY (id)
);
INSERT INTO "clips" VALUES('012f3c3c2f47a02c75de6d9504da4071',25,'{"segments":[["2a06459f0f49e0d5c9bc2020a999e5fd",2,25]],"seat":0}');
INSERT INTO "clips" VALUES('51aa4f166153570588fea34b74767d07',25,'{"segments":[["807be1ecc7ec16a248fbae2bd53d83bb",0,25]],"seat":0}');
INSERT INTO "clips" VALUES('693aa41470b12f7a29270c2510c9d904',25,'{"segments":[["807be1ecc7ec16a248fbae2bd53d83bb",1,25]],"seat":0}');
INSERT INTO "clips" VALUES('6f9db9af77b31fecbac838a97b3f569c',25,'{"segments":[["807be1ecc7ec16a248fbae2bd53d83bb",3,25]],"seat":0}');
INSERT INTO "clips" VALUES('9182d3d35d8ee8603b938db90717856f',25,'{"segments":[["2a06459f0f49e0d5c9bc2020a999e5fd",3,25]],"seat":0}');
INSERT INTO "clips" VALUES('ac6cd3d4efd2f7a7bff3944254bfe20b',25,'{"segments":[["807be1ecc7ec16a248fbae2bd53d83bb",2,25]],"seat":0}');
INSERT INTO "clips" VALUES('dcd9b51f32043d7ccce96b5bc2764399',25,'{"segments":[["2a06459f0f49e0d5c9bc2020a999e5fd",0,25]],"seat":0}');
INSERT INTO "clips" VALUES('e3dfdfd1550f2f71a940d216ccf2913c',25,'{"segments":[["2a06459f0f49e0d5c9bc2020a999e5fd",1,25]],"seat":0}');
CREATE TABLE episodes (
	episode TEXT NOT NULL, 
	replay_id TEXT NOT NULL, 
	CONSTRAINT pk_episodes PRIMARY KEY (episode), 
	CONSTRAINT fk_episodes_replay_id_replays FOREIGN KEY(replay_id) REFERENCES replays (id)
);
INSERT INTO "episodes" VALUES('e1','807be1ecc7ec16a248fbae2bd53d83bb');
CREATE TABLE log_head (
	id INTEGER NOT NULL, 
	value INTEGER NOT NULL, 
	CONSTRAINT pk_log_head PRIMARY KEY (id)
);
INSERT INTO "log_head" VALUES(1,5);
CREATE TABLE queries (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	"key" TEXT, 
	kind TEXT NOT NULL, 
	display TEXT NOT NULL, 
	replay_id TEXT, 
	step INTEGER, 
	strategy TEXT NOT NULL, 
	acquisition DOUBLE, 
	session TEXT NOT NULL, 
	iteration INTEGER NOT NULL, 
	policy_version TEXT NOT NULL, 
	reward_version TEXT NOT NULL, 
	recent_return DOUBLE, 
	recent_length DOUBLE, 
	control BOOLEAN NOT NULL, 
	posted_at DOUBLE NOT NULL, 
	withdrawn_at DOUBLE, 
	wanted INTEGER NOT NULL, 
	remaining INTEGER NOT NULL, 
	leased_by TEXT, 
	leased_until DOUBLE, 
	CONSTRAINT uq_queries_key UNIQUE ("key"), 
	CONSTRAINT fk_queries_replay_id_replays FOREIGN KEY(replay_id) REFERENCES replays (id)
);
INSERT INTO "queries" VALUES(1,'first/0','preference','[1, 0]',NULL,NULL,'',NULL,'first',0,'','',2.5,60.0,0,1000000.0,NULL,1,0,NULL,NULL);
INSERT INTO "queries" VALUES(2,'first/1','preference','[0, 1]',NULL,NULL,'',NULL,'first',1,'','',2.5,60.0,0,1000000.0,NULL,1,1,NULL,NULL);
INSERT INTO "queries" VALUES(3,'first/2','preference','[0, 1]',NULL,NULL,'',NULL,'first',2,'','',2.5,60.0,0,1000000.0,NULL,1,1,NULL,NULL);
INSERT INTO "queries" VALUES(4,'first/3','preference','[0, 1]',NULL,NULL,'',NULL,'first',3,'','',2.5,60.0,0,1000000.0,NULL,1,1,'bob',1000500.0);
CREATE TABLE query_clips (
	query_id INTEGER NOT NULL, 
	place INTEGER NOT NULL, 
	clip_id TEXT NOT NULL, 
	CONSTRAINT pk_query_clips PRIMARY KEY (query_id, place), 
	CONSTRAINT fk_query_clips_query_id_queries FOREIGN KEY(query_id) REFERENCES queries (id), 
	CONSTRAINT fk_query_clips_clip_id_clips FOREIGN KEY(clip_id) REFERENCES clips (id)
);
INSERT INTO "query_clips" VALUES(1,0,'dcd9b51f32043d7ccce96b5bc2764399');
INSERT INTO "query_clips" VALUES(1,1,'51aa4f166153570588fea34b74767d07');
INSERT INTO "query_clips" VALUES(2,0,'e3dfdfd1550f2f71a940d216ccf2913c');
INSERT INTO "query_clips" VALUES(2,1,'693aa41470b12f7a29270c2510c9d904');
INSERT INTO "query_clips" VALUES(3,0,'012f3c3c2f47a02c75de6d9504da4071');
INSERT INTO "query_clips" VALUES(3,1,'ac6cd3d4efd2f7a7bff3944254bfe20b');
INSERT INTO "query_clips" VALUES(4,0,'9182d3d35d8ee8603b938db90717856f');
INSERT INTO "query_clips" VALUES(4,1,'6f9db9af77b31fecbac838a97b3f569c');
CREATE TABLE replays (
	id TEXT NOT NULL, 
	game TEXT NOT NULL, 
	game_version TEXT NOT NULL, 
	length INTEGER NOT NULL, 
	policy_id TEXT NOT NULL, 
	added_at DOUBLE NOT NULL, 
	data BLOB NOT NULL, 
	CONSTRAINT pk_replays PRIMARY KEY (id)
);
INSERT INTO "replays" VALUES('2a06459f0f49e0d5c9bc2020a999e5fd','probe/none','1',60,'p1',1000000.0,X'524C484652504C01C9DE832838C36FFCD8AD322C2C4C36058D01000000000000789C8550ED8A84300C6CED9BE4B7ECE91E1C87EF704F208B7435A8A86D69AB20B2EFBE53D7FF57FA914C92C9347F528883BAB83BA68A4613BFEF94D3C0BA634FD541EDC0ED14D625D9339B3E0E54FD14392DDA4F81AAFA91937D06F69B8EA335A028FE5960F71C576F5275792B1EAF9CD874DCA136B25F46A3239C9C7ABD2449CEDB277F196BF8C29A8D7DF8F42A014DBC37BCB189979A5923B38242EB9222A0073AB859EFE94335E91EB9844467E7B1DD5387F2D4D45A0F158D8EA8BEA13E70D204E3EA7732812A0C3ACDAAC6144AD08468FD297EC5F07EE9A5B24C62A642A80C26362EA932910E20E0028EFCE4202811964A29BCD91B9FE9686D');
INSERT INTO "replays" VALUES('807be1ecc7ec16a248fbae2bd53d83bb','probe/none','1',60,'p1',1000000.0,X'524C484652504C01857B2BF09ED8D9368463863DA3C3C4128D01000000000000789C8550ED6A8430104CE29BEC6FB96A0BA5F80EF70472484E1795D344922888DCBB77D6FABF2159F67366B277ADD4415DDA17A68A4697BE3E29A7816DC781AA83DA81DB575C67F127767D1AA8FA2E729A6D7845AAEA474EFE19396C368DDE01A2F8E7003D705A8393E9F2563CDE39B1EBB8C36CE2308FCE260439F57616494BF04FFE70DEF1956B360EF18FAB44EAC57BC31BBB74A9992C3A2B28F48B2842F600C332D95D3E5493EDD14B685CFC34B6BB3094A7A6D607A8686CC2F40DF391455399D3C57722012A0E567655630B256062F2E114BF62793FF4D626CB94C2D399966B8C44999148692506CF68250EAC91005583D22FA04A686A');
CREATE TABLE retractions (
	id INTEGER NOT NULL, 
	answer_id INTEGER NOT NULL, 
	annotator TEXT NOT NULL, 
	retracted_at DOUBLE NOT NULL, 
	CONSTRAINT pk_retractions PRIMARY KEY (id), 
	CONSTRAINT uq_retractions_answer_id UNIQUE (answer_id), 
	CONSTRAINT fk_retractions_answer_id_answers FOREIGN KEY(answer_id) REFERENCES answers (id), 
	CONSTRAINT fk_retractions_annotator_annotators FOREIGN KEY(annotator) REFERENCES annotators (name)
);
INSERT INTO "retractions" VALUES(3,2,'teacher:oracle',1000000.0);
CREATE INDEX ix_replays_game ON replays (game);
CREATE INDEX ix_queries_still_wanted ON queries (id) WHERE remaining > 0 AND withdrawn_at IS NULL;
CREATE INDEX ix_answers_query_id ON answers (query_id);
CREATE INDEX ix_answers_annotator ON answers (annotator);
CREATE INDEX ix_answers_received_at ON answers (received_at);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('queries',4);
COMMIT;
