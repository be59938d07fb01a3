"""The journal and what is derived from it: the log tree, heads, catalogue, evidence, proofs.

state             the directory and its lock; ``durable`` writes files that survive a power cut

journal           the log as others see it
  group_commit    drafts in, one write and one sync for all that wait
  drafts          what goes in, and what comes back
  segments        where records lie: ``segment_file`` grows, ``sealed`` is full and compressed;
                  ``segment_keys`` salt their leaves
  frames          many frames at once, checked or taken apart
  recovery        what a start finds: whole commits, a torn tail, damage, or by ``high_water``
                  that the end is lost
  follower        behind the acknowledgement: leaf hashes into ``tree``, then subscribers

catalogue         look-ups: ``segment_index`` in memory, then ``catalogue_file``;
                  ``fresh_batches`` for what was committed a moment ago; ``catalogue_rows`` answer
heads             checkpoints: ``head_records`` in the journal, ``head_chain`` after a start;
                  ``clocks`` between them
counter           steps of the NV counter: ``counter_records`` in the journal, ``counter_chain``
                  after an interruption
starts            resets of the TPM against boots; ``key_history``: which key came after which
baselines         which reference values are in force
evidence_store    raw evidence by its digest; ``ima_parts``: what of an IMA log is there already
days              trees of the days that ``day_scan`` finds: ``seals`` of past ones, ``open_days``;
                  before one is sealed, ``self_check``
settlements       what a ledger or an importer answered: ``receipt_records`` in the journal
proofs            one record, its path and its head
bundle            a range of records for somebody else; ``exports``: which ones left
custody         what clearing removed, apart from the log: encrypted, or as handoff files
fsck              every byte checked, and any damage named
"""
