"""The reliability campaign: malformed and hostile files, failing disks, kills; ``docs/reliability.md`` tells of it."""
