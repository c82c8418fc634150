//! Raw downloads as found: folders and archives seen as one tree of members.
