"""The journal and what is derived from it: the log tree, heads, catalogue, evidence, proofs.

state             the directory and its lock; ``durable`` writes files that survive a power cut

journal           the log as others see it
  group_commit    drafts in, one write and one sync for all that wait
  segments        where records lie: ``segment_file`` grows, ``sealed`` is full and compressed
  frames          many frames at once, checked or taken apart
  recovery        what a start finds: whole commits, a torn tail, damage, or by ``high_water``
                  that the end is lost
  follower        behind the acknowledgement: leaf hashes into ``tree``, then subscribers

catalogue         look-ups: ``segment_index`` in memory, then ``catalogue_file``;
                  ``fresh_batches`` for what was committed a moment ago
heads             checkpoints: ``head_records`` in the journal, ``head_chain`` after a start
settlements       what a ledger or an importer answered: ``receipt_records`` in the journal
proofs            one record, its path and its head
custody         what clearing removed, apart from the log: encrypted, or as handoff files
fsck              every byte checked, and any damage named
"""
