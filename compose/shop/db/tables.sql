CREATE TABLE greeting (words text NOT NULL);
INSERT INTO greeting VALUES ('These words come from the database.');
CREATE TABLE visits (number bigint NOT NULL);
INSERT INTO visits VALUES (0);
GRANT SELECT ON greeting TO shop;
GRANT SELECT, UPDATE ON visits TO shop;
