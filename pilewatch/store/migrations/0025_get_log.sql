-- A charger may be told to upload its log.
ALTER TABLE command
    DROP CONSTRAINT command_name_check,
    ADD CONSTRAINT command_name_check CHECK (name IN
        ('reset', 'unlock', 'setAvailability', 'triggerStatus', 'startTest', 'getLog'));
