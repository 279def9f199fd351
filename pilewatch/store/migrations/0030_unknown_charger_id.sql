-- Lists of unknown chargers are told in pages, from a number on.
ALTER TABLE unknown_charger ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY UNIQUE;
